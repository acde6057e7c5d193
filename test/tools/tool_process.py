"""A tool in a process of its own, without the seconds that each would need to import PyTorch."""

import multiprocessing
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess

LIMIT_S = 600  # for hangs
_processes = multiprocessing.get_context('forkserver')  # forked from one that has imported it
_processes.set_forkserver_preload(['vitpose_ros.tools.models'])


def run_tool(tool, *arguments, terminal=None, **environment):
    """Run a tool as the command line does; return its exit code and what it wrote.

    terminal: the path of one, in the place of standard error. environment: variables to set, or
    None for those to remove.
    """
    variables = {**os.environ, **environment}
    variables = {name: value for name, value in variables.items() if value is not None}
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        out, error = Path(folder, 'out'), Path(folder, 'error')
        target = (tool, words, variables, out, terminal or error)
        process = _processes.Process(target=_run, args=target)
        process.start()
        process.join(LIMIT_S)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f'{tool} {words}')
        written = '' if terminal else error.read_text()
        return CompletedProcess(words, process.exitcode, out.read_text(), written)


def _run(tool, arguments, variables, out, error):
    os.environ.clear()
    os.environ.update(variables)
    for number, path in ((1, out), (2, error)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY)
        os.dup2(file, number)
    module = import_module(f'vitpose_ros.tools.{tool}')
    sys.exit(module.main(arguments, prog=f'vitpose_ros {tool}'))
