"""A lifecycle node that answers while it is busy.

rclpy runs the callbacks of lifecycle transitions within the service that asks for them, so that a
network that is loaded, or a forward pass that is waited for, holds up everything else in its
executor. Here such work has a thread of its own. The services that start it are coroutines: the
executor goes on, and sends the answer when there is one. So any executor serves, a single-threaded
one too, whose callbacks cost less than those of a multi-threaded one.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNodeMixin
from rclpy.node import Node
from rclpy.task import Future

from vitpose_ros.ros.leaving import LeavingGroup


class BusyLifecycleNode(LifecycleNodeMixin, Node):
    """A lifecycle node whose transitions run in a thread of their own, one after the other."""

    def __init__(self, name: str, **options: Any) -> None:
        """Take the name and the options of a Node."""
        Node.__init__(self, name, **options)
        # Reentrant: while one is under way, others of the group are answered.
        self._group = ReentrantCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=self._group)
        self._of_publishers = LeavingGroup(self)
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = self._later(service.callback)
        self._background = threading.Thread(target=self._work, name='background', daemon=True)
        self._background.start()

    def create_background_service(
        self, kind: type, name: str, callback: Callable[[Any, Any], Any]
    ) -> None:
        """Create a service whose callback runs in the thread of the transitions."""
        self.create_service(kind, name, self._later(callback), callback_group=self._group)

    def create_lifecycle_publisher(self, *arguments: Any, **options: Any) -> Any:
        """Create a publisher that sends something only while the node is active."""
        return super().create_lifecycle_publisher(
            *arguments, callback_group=self._of_publishers, **options
        )

    def destroy_lifecycle_publisher(self, publisher: Any) -> None:
        """Destroy such a publisher, soon; in any thread."""
        # At once, because a transition goes through these; rclpy has no other way.
        self._managed_entities.discard(publisher)
        self._of_publishers.destroy(publisher, self.destroy_publisher)

    def in_executor(self, job: Callable[[], object]) -> None:
        """Do a job in the executor's thread, soon; here where there is no executor."""
        if self.executor is None:
            job()
        else:
            self.executor.create_task(job)

    def in_background(self, job: Callable[[], object]) -> None:
        """Do a job in the thread of the transitions, after those that are there."""
        self._jobs.put(job)

    def end_background(self) -> None:
        """Finish the jobs that are there, and end their thread."""
        self._jobs.put(None)
        self._background.join()

    def _later(self, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return a coroutine that has a service's callback run in the background."""

        async def answer(request: Any, response: Any) -> Any:
            done = Future(executor=self.executor)
            done.add_done_callback(lambda _: None)  # which wakes the executor

            def job() -> None:
                try:
                    done.set_result(callback(request, response))
                except Exception as error:
                    self.get_logger().error(f'{type(error).__name__}: {error}')
                    done.set_result(response)

            self.in_background(job)
            return await done

        return answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self.get_logger().error(f'{type(error).__name__}: {error}')
