"""What the active node does: subscriptions, mailboxes, and the thread that works."""

from collections.abc import Callable, Mapping
from functools import partial

from vitpose_ros.core.pipeline import PosePipeline
from vitpose_ros.core.realtime import Mailboxes
from vitpose_ros.ros.camera import Camera
from vitpose_ros.ros.gathering import OnReady, Space
from vitpose_ros.ros.logs import ThrottledLog
from vitpose_ros.ros.network import Network
from vitpose_ros.ros.pairing import AnyDetections, AnyImage
from vitpose_ros.ros.parameters import Parameters
from vitpose_ros.ros.people_output import PeopleOutput
from vitpose_ros.ros.reading import Arrival
from vitpose_ros.ros.stamps import nanoseconds_of
from vitpose_ros.ros.transforms import Transforms
from vitpose_ros.ros.worker import Worker


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
        transforms: Transforms | None = None,
        people: PeopleOutput | None = None,
    ) -> None:
        """Start the worker and subscribe; the arguments are those of Worker and Camera.open."""
        self._cameras = cameras
        self._is_running = is_running
        self._mailboxes = mailboxes = Mailboxes[Arrival](
            cameras,
            size=values.frame_queue_size,
            max_bytes=values.queue_mb * 1e6,
            bytes_of=lambda arrival: arrival.size,
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
            pipeline=PosePipeline(
                network.estimator,
                values.track_options,
                detector=network.detector,
                detector_every=values.detector_every,
                refine=values.refine,
                depth_error=values.depth_error,
            ),
            people=people,
        )
        try:
            for name, camera in cameras.items():
                # Not by way of this object: what a camera keeps must not keep the network.
                held = partial(mailboxes.counts, name)
                camera.open(_putting(mailboxes, name), held, log, transforms)
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


def _putting(mailboxes: Mailboxes[Arrival], camera: str) -> OnReady:
    def put(image: AnyImage, detections: AnyDetections | None, space: Space) -> None:
        mailboxes.put(camera, Arrival(image, detections, space), nanoseconds_of(image))

    return put
