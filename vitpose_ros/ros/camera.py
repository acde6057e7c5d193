"""One camera: what comes from it, what is published for it, and how its frames fare."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from rclpy.lifecycle import LifecycleNodeMixin
from sensor_msgs.msg import CameraInfo

from vitpose_ros.core import Skeleton
from vitpose_ros.core.realtime import Counts
from vitpose_ros.ros.camera_info import camera_info_topic
from vitpose_ros.ros.depth_input import LEAST_KEPT, DepthInput
from vitpose_ros.ros.diagnostics import CameraReport
from vitpose_ros.ros.gathering import Gathering, OnReady, Sources
from vitpose_ros.ros.logs import ThrottledLog
from vitpose_ros.ros.outputs import CameraOutput
from vitpose_ros.ros.pairing import Arrivals, CameraInput, Limits
from vitpose_ros.ros.parameters import Parameters
from vitpose_ros.ros.subscriptions import MatchedSubscription
from vitpose_ros.ros.timing import FrameTimes, Rates, RecentFrames
from vitpose_ros.ros.transforms import Transforms


class Tally:
    """Counts what became of the frames that a camera's mailbox gave out; for two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(
            (
                'published',
                'failed',
                'unfinished',
                'subjects',
                'filtered',
                'left_out',
                'faulty_boxes',
                'lifted',
                'not_lifted',
            ),
            0,
        )
        self._recent = RecentFrames()
        self._not_lifted = ''

    def add(self, **counts: int) -> None:
        """Add to some of the counts."""
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    def add_space(self, reason: str) -> None:
        """Note whether the depth of a frame could be used: the reason if not."""
        with self._lock:
            self._counts['not_lifted' if reason else 'lifted'] += 1
            self._not_lifted = reason or self._not_lifted

    @property
    def not_lifted(self) -> str:
        """Why the last frame whose depth could not be used is such a one."""
        with self._lock:
            return self._not_lifted

    def add_times(self, times: FrameTimes) -> None:
        """Note how long a frame took."""
        with self._lock:
            self._recent.add(time.monotonic(), times)

    def read(self) -> tuple[dict[str, int], dict[str, float]]:
        """Return the counts, and the summary of the last seconds."""
        with self._lock:
            return dict(self._counts), self._recent.summary(time.monotonic())


def _counts(arrived: Arrivals, held: Counts, tallied: dict[str, int]) -> dict[str, int]:
    return {
        **asdict(arrived),
        'overwritten': held.overwritten,
        'too_old': held.too_old,
        **tallied,
    }


NOT_OPENED = CameraReport(_counts(Arrivals(), Counts(), Tally().read()[0]))


class Camera:
    """A camera of pose_node. The publishers live as long as it, the subscriptions while open.

    Opened and closed in one thread, looked at in another.
    """

    def __init__(
        self,
        node: LifecycleNodeMixin,
        name: str,
        skeletons: Sequence[Skeleton],
        parameters: Callable[[], Parameters],
        *,
        is_only: bool = True,
    ) -> None:
        """Create the publishers.

        name may be empty for the only camera; parameters returns the camera's own at present.
        """
        self.name = name
        self.prefix = f'{name}/' if name else ''
        self.parameters = parameters
        in_space = parameters().depth != 'off'
        self.output = CameraOutput(node, f'~/{self.prefix}', skeletons, in_space=in_space)
        self.tally = Tally()
        self.is_open = False
        # Without a frame that all share, the only camera's optical frame serves.
        self._own_frame = '' if is_only else None
        self._node = node
        self._input: CameraInput | None = None  # the last one
        self._held: Callable[[], Counts] = Counts
        self._rates = Rates()
        self._camera_info: MatchedSubscription | None = None
        self._depth: DepthInput | None = None
        self._gathering: Gathering | None = None

    def open(
        self,
        on_frame: OnReady,
        held: Callable[[], Counts],
        log: ThrottledLog,
        transforms: Transforms | None = None,
    ) -> None:
        """Subscribe, and count from nothing.

        held returns what became of the frames that on_frame took. transforms: where frames are,
        if depth or a frame that is asked for need it.
        """
        values = self.parameters()
        info_topic = camera_info_topic(self._node, f'{self.prefix}camera_info', self._image)
        self.tally = Tally()
        self._held = held
        self._rates = Rates()
        self._rates.add(time.monotonic(), {})
        if values.depth != 'off':
            self._depth = DepthInput(
                self._node,
                f'{self.prefix}depth',
                self._advance,
                compressed=values.depth == 'compressed',
                slop_s=values.depth_slop_ms / 1e3,
                # They wait for detections as long as images do.
                most=max(LEAST_KEPT, values.sync_queue_size),
                most_bytes=values.queue_mb * 1e6,
            )
        self._gathering = gathering = Gathering(
            self._node,
            Sources(
                self._depth,
                transforms,
                values.target_frame or self._own_frame,
                lambda: self.output.camera_info,
                info_topic,
                values.depth_slop_ms / 1e3,
            ),
            on_frame,
            timeout_s=values.depth_timeout_ms / 1e3,
            max_bytes=values.queue_mb * 1e6,
        )
        self._input = CameraInput(
            self._node,
            gathering.add,
            log,
            image_topic=self._image,
            detections_topic=f'{self.prefix}detections' if values.box_source == 'topic' else None,
            compressed=values.image_transport == 'compressed',
            limits=Limits(
                slop_s=values.sync_slop_ms / 1e3,
                messages=values.sync_queue_size,
                image_bytes=values.queue_mb * 1e6,
                seconds=values.sync_timeout_s,
            ),
        )
        self.is_open = True
        self._camera_info = MatchedSubscription(
            self._node, CameraInfo, info_topic, self._on_camera_info, depth=1
        )

    def _advance(self) -> None:
        """Look again after a depth image came."""
        if (gathering := self._gathering) is not None:
            gathering.advance()

    @property
    def _image(self) -> str:
        return f'{self.prefix}image'

    def try_open(self, log: ThrottledLog, transforms: Transforms | None = None) -> None:
        """Open and close, so that quality of service that cannot be had is an error now.

        transforms: as in open, because messages may come meanwhile.
        """
        try:
            self.open(lambda *_: None, Counts, log, transforms)
        finally:
            self.close_input()
            self._input = None

    def close_input(self) -> None:
        """Unsubscribe; the counts stay."""
        self.is_open = False
        if self._input is not None:
            self._input.close()
        if self._gathering is not None:  # before the depth images, among which it looks
            self._gathering.close()
            self._gathering = None
        if self._depth is not None:
            self._depth.close()
            self._depth = None
        if self._camera_info is not None:
            self._camera_info.close()
            self._camera_info = None

    def close(self) -> None:
        """Unsubscribe and destroy the publishers."""
        self.close_input()
        self.output.close()

    @property
    def topic(self) -> str:
        """The full name of the topic of images, as far as it is known."""
        source = self._input
        return '' if source is None else source.image_topic

    def report(self) -> CameraReport:
        """Tell how the camera fares, or fared when it was open last."""
        source = self._input
        if source is None:
            return NOT_OPENED
        tallied, summary = self.tally.read()
        counts = _counts(source.counts, self._held(), tallied)
        if not self.is_open:
            return CameraReport(counts)
        self._rates.add(time.monotonic(), counts)
        hertz, trouble = self._rates.hertz(), source.trouble
        return CameraReport(
            counts=counts,
            recent=self._rates.since(),
            hertz={name: hertz[name] for name in ('images', 'detections', 'paired', 'published')},
            summary=summary,
            trouble=None if trouble is None else (trouble.kind, trouble.text),
            mismatch=source.mismatch,
            crowding=source.crowding,
            not_lifted=self.tally.not_lifted,
        )

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.output.camera_info = message
