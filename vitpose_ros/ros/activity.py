"""What the active node does: subscriptions, mailboxes, and the thread that works."""

from collections.abc import Callable, Mapping
from functools import partial

from vision_msgs.msg import Detection2DArray

from vitpose_ros.core.realtime import Mailboxes
from vitpose_ros.ros.camera import Camera
from vitpose_ros.ros.logs import ThrottledLog
from vitpose_ros.ros.network import Network
from vitpose_ros.ros.pairing import AnyImage, stamp_nanoseconds
from vitpose_ros.ros.parameters import Parameters
from vitpose_ros.ros.worker import Arrival, Worker


class Activity:
    """Works from when it is made until it is stopped."""

    def __init__(
        self,
        network: Network,
        cameras: Mapping[str, Camera],
        values: Parameters,
        *,
        stamp_clock: Callable[[], int],
        log: ThrottledLog,
        is_running: Callable[[], bool],
        on_device_lost: Callable[[Exception], None],
    ) -> None:
        """Start the worker and subscribe; the arguments are those of Worker."""
        self._cameras = cameras
        self._is_running = is_running
        self._mailboxes = mailboxes = Mailboxes[Arrival](
            cameras,
            size=values.frame_queue_size,
            max_bytes=values.queue_mb * 1e6,
            bytes_of=lambda arrival: len(arrival.image.data),
            stamp_clock=stamp_clock,
        )
        self.follow(values)
        self._worker = Worker(
            network,
            cameras,
            mailboxes,
            stamp_clock=stamp_clock,
            log=log,
            is_running=is_running,
            on_device_lost=on_device_lost,
        )
        try:
            for name, camera in cameras.items():
                # Not by way of this object: what a camera keeps must not keep the network.
                camera.open(_putting(mailboxes, name), partial(mailboxes.counts, name), log)
        except Exception:
            self.stop()
            raise

    @property
    def fault(self) -> str:
        """What keeps the worker from its work, if something does."""
        return self._worker.fault

    def follow(self, values: Parameters) -> None:
        """Take over the parameters that may change meanwhile."""
        self._mailboxes.max_age_ns = round(values.max_age_ms * 1e6)

    def stop(self) -> None:
        """Unsubscribe, and wait for the forward pass that runs."""
        for camera in self._cameras.values():
            camera.close_input()
        self._worker.stop()
        if self._is_running():
            for camera in self._cameras.values():
                camera.output.remove_markers()


def _putting(
    mailboxes: Mailboxes[Arrival], camera: str
) -> Callable[[AnyImage, Detection2DArray | None], None]:
    def put(image: AnyImage, detections: Detection2DArray | None) -> None:
        stamp_ns = stamp_nanoseconds(image.header.stamp)
        mailboxes.put(camera, Arrival(image, detections), stamp_ns)

    return put
