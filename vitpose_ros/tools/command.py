"""What all command lines share: options of the network, what is logged, errors and exit codes."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.runtime.options import Options, table

PACKAGE = __name__.partition('.')[0]


def add_options(parser: argparse.ArgumentParser, *names: str, **defaults: Any) -> None:
    """Add arguments for some of Options, or all; defaults: those that differ from its own."""
    group = parser.add_argument_group('how the network is run')
    for entry in table():
        if names and entry.name not in names:
            continue
        default = defaults.get(entry.name, entry.default)
        flag = f'--{entry.name.replace("_", "-")}'
        text = entry.metadata['description']
        if isinstance(default, bool):
            group.add_argument(flag, action='store_true', default=default, help=text)
        elif entry.name == 'image_size':
            group.add_argument(flag, type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help=text)
        else:
            kind = int if isinstance(default, int) else str
            about = '' if default is None else f'; {default}'
            group.add_argument(flag, type=kind, default=default, help=text + about)


def read_options(chosen: argparse.Namespace) -> Options:
    """Return the options among parsed arguments. Raises OptionError."""
    names = {entry.name for entry in table()}
    return Options(**{name: value for name, value in vars(chosen).items() if name in names})


def run(prog: str, work: Callable[[], object]) -> int:
    """Do the work of a command line; return the exit code. Errors become one line each."""
    handler = logging.StreamHandler()  # to stderr
    logger = logging.getLogger(PACKAGE)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        work()
    except VitposeError as error:
        print(f'{prog}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{prog}: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, head for example, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return 0
