"""A process with one node, which ends cleanly and soon."""

import gc
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from vitpose_ros.ros.large_images import keep_memory

GRACE_S = 1.2  # from the signal to the end, whatever is still at work then


def run(node_class: str) -> None:
    """Make a node and spin it until SIGINT, SIGTERM or a SystemExit; then end the process.

    node_class: 'package.module:Class'. The exit code is that of the SystemExit, and after a
    signal 0, also when a computation that cannot be interrupted is under way: after a moment the
    process ends without it.
    """
    futures: list[Any] = []  # of rclpy, once there is one

    def stop() -> None:
        if not futures:  # nothing has begun yet
            _end(0)
        futures[0].set_result(None)

    _call_on_signals(stop)
    keep_memory()
    # Only now, because these and the node's imports take seconds.
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from rclpy.task import Future

    module, name = node_class.split(':')
    make_node = getattr(importlib.import_module(module), name)
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # a file of parameters that ROS cannot read, for one
        print(' '.join(str(error).split()), file=sys.stderr)
        _end(1)
    futures.append(Future())

    def spin() -> None:
        try:
            node = make_node()
        except (ValueError, ParameterException) as error:  # of what the user gave it
            print(error, file=sys.stderr)
            raise SystemExit(1) from error
        try:
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            executor.spin_until_future_complete(futures[0])
        except BaseException as error:
            if code := _exit_code(error):
                _end_soon(code)  # what is broken may keep the node from its end
            raise
        finally:
            node.destroy_node()

    code = 0
    try:
        spin()
    except ExternalShutdownException:
        pass
    except SystemExit as error:
        code = _exit_code(error)
    except Exception as error:
        traceback.print_exception(error)
        code = _exit_code(error)
    rclpy.try_shutdown()
    # A lifecycle node is part of cycles, and only when the last of it is gone does the middleware
    # say goodbye to the others and give its shared memory back.
    gc.collect()
    _end(code)


def _call_on_signals(stop: Callable[[], None]) -> None:
    # Python runs its signal handlers between two instructions of the main thread, too late
    # while that is inside a long call. The byte in the pipe comes at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        os.read(reader, 1)
        stop()
        time.sleep(GRACE_S)
        _end(0)

    threading.Thread(target=wait, name='signals', daemon=True).start()


def _exit_code(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    return 1


def _end_soon(code: int) -> None:
    """End the process after a moment, if nothing else does before."""

    def wait() -> None:
        time.sleep(GRACE_S)
        _end(code)

    threading.Thread(target=wait, name='end', daemon=True).start()


def _end(code: int) -> None:
    # Not sys.exit: it would wait for other threads, and libraries tear down their globals
    # under those that still run.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
