"""Starts nodes that have imported already what they need, which takes a node three seconds.

A fork of the test process, made before anything in it runs in threads, waits for commands. A node
is a fork of that: a process of its own, and a child of the test process, like any that is started.
"""

import ctypes
import gc
import importlib
import logging
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h


def die_with_parent():
    """End this process when the one that started it ends, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Nursery:
    """The process that waits for commands."""

    def __init__(self):
        """Import what nodes import, and fork."""
        importlib.import_module('vitpose_ros.ros.pose_node')
        # Whose parent ends becomes a child of this process.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        parent = os.getpid()
        self._connection, theirs = multiprocessing.Pipe()
        if os.fork() == 0:
            die_with_parent()
            _serve(theirs, parent)

    def start(self, command, environment, log):
        """Start a Python script with arguments, its output into a file; return the process."""
        log.touch()
        self._connection.send((command, environment, str(log)))
        return Child(self._connection.recv())


class Child:
    """A process that was started here, with the methods of subprocess.Popen that tests use."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        """Return the exit code, None as long as there is none."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        """Wait for the exit code. Raises TimeoutExpired after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number):
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def _serve(connection, parent):
    """Start what is asked for, until the test process ends."""
    try:
        gc.freeze()  # so that garbage collectors do not copy what all of them share
        while True:
            command, environment, log = connection.recv()
            reader, writer = os.pipe()
            between = os.fork()
            if between == 0:
                pid = os.fork()
                if pid == 0:
                    connection.close()
                    _become(command, environment, log, parent)
                os.write(writer, str(pid).encode())
                os._exit(0)
            os.waitpid(between, 0)  # from now on the other is a child of the test process
            connection.send(int(os.read(reader, 32)))
            os.close(reader)
            os.close(writer)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _become(command, environment, log, parent):
    """Be the process that this command starts."""
    code = 1
    try:
        while os.getppid() != parent:  # until the one between has ended
            time.sleep(0.001)
        die_with_parent()
        for source, targets in ((os.open(os.devnull, os.O_RDONLY), (0,)), (_open(log), (1, 2))):
            for target in targets:
                os.dup2(source, target)
        sys.stdout, sys.stderr = (os.fdopen(number, 'w', buffering=1) for number in (1, 2))
        os.environ.clear()
        os.environ.update(environment)
        logging.getLogger().handlers.clear()  # pytest's
        sys.argv[:] = command
        sys.path.insert(0, os.path.dirname(command[0]))  # noqa: PTH120
        runpy.run_path(command[0], run_name='__main__')
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _open(path):
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
