"""A process with one node, which ends cleanly and soon."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

GRACE_S = 1.5  # from the signal to the end, whatever is still at work then


def run(make_node: Callable[[], Node]) -> None:
    """Make a node and spin it until SIGINT, SIGTERM or a SystemExit; then end the process.

    The exit code after a signal is 0, also when a computation that cannot be interrupted is
    under way: after a moment the process ends without it.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop = Future()
    _complete_on_signals(stop)
    try:
        executor = SingleThreadedExecutor()
        node = make_node()
        executor.add_node(node)
        executor.spin_until_future_complete(stop)
        node.destroy_node()
        rclpy.try_shutdown()
    except (ExternalShutdownException, SystemExit):
        pass
    except Exception as error:
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        _end(1)
    _end(0)


def _complete_on_signals(stop: Future) -> None:
    # Python runs its signal handlers between two instructions of the main thread, too late
    # while that is inside a long call. The byte in the pipe comes at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        os.read(reader, 1)
        stop.set_result(None)
        time.sleep(GRACE_S)
        _end(0)

    threading.Thread(target=wait, name='signals', daemon=True).start()


def _end(code: int) -> None:
    # Not sys.exit: it would wait for other threads, and libraries tear down their globals
    # under those that still run.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
