"""One camera: what comes from it, what is published for it, and how its frames fare."""

import threading
import time
from collections.abc import Callable, Sequence

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray

from vitpose_ros.core import Skeleton
from vitpose_ros.core.realtime import Counts
from vitpose_ros.ros.diagnostics import CameraReport
from vitpose_ros.ros.outputs import CameraOutput
from vitpose_ros.ros.pairing import AnyImage, CameraInput
from vitpose_ros.ros.parameters import Parameters
from vitpose_ros.ros.subscriptions import MatchedSubscription
from vitpose_ros.ros.timing import FrameTimes, Rates, Recent


class Tally:
    """Counts what became of the frames that a camera's mailbox gave out; for two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(
            ('published', 'failed', 'subjects', 'filtered', 'left_out', 'faulty_boxes'), 0
        )
        self._recent = Recent()

    def add(self, **counts: int) -> None:
        """Add to some of the counts."""
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    def add_times(self, times: FrameTimes) -> None:
        """Note how long a frame took."""
        with self._lock:
            self._recent.add(time.monotonic(), times)

    def read(self) -> tuple[dict[str, int], dict[str, float]]:
        """Return the counts, and the summary of the last seconds."""
        with self._lock:
            return dict(self._counts), self._recent.summary(time.monotonic())


class Camera:
    """A camera of pose_node. The publishers live as long as it, the subscriptions while open."""

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        skeletons: Sequence[Skeleton],
        parameters: Parameters,
    ) -> None:
        """Create the publishers. name is empty for the only camera; parameters are its own."""
        self.name = name
        self.prefix = f'{name}/' if name else ''
        self.output = CameraOutput(node, f'~/{self.prefix}', skeletons)
        self.input: CameraInput | None = None
        self.tally = Tally()
        self.rates = Rates()
        self._node = node
        self._parameters = parameters
        self._camera_info: MatchedSubscription | None = None

    def open(self, on_frame: Callable[[AnyImage, Detection2DArray | None], None]) -> None:
        """Subscribe, and count from nothing."""
        self.tally = Tally()
        self.rates = Rates()
        self.rates.add(time.monotonic(), {})
        with_detector = self._parameters.detections == 'topic'
        self.input = CameraInput(
            self._node,
            on_frame,
            image_topic=f'{self.prefix}image',
            detections_topic=f'{self.prefix}detections' if with_detector else None,
            compressed=self._parameters.image_transport == 'compressed',
            queue_size=self._parameters.sync_queue_size,
            slop_s=self._parameters.sync_slop_ms / 1e3,
        )
        # Beside the image, as image_transport has it.
        folder = self._node.resolve_topic_name(f'{self.prefix}image').rpartition('/')[0]
        self._camera_info = MatchedSubscription(
            self._node, CameraInfo, f'{folder}/camera_info', self._on_camera_info, depth=1
        )

    def close_input(self) -> None:
        """Unsubscribe."""
        if self.input is not None:
            self.input.close()
            self.input = None
        if self._camera_info is not None:
            self._camera_info.close()
            self._camera_info = None

    def close(self) -> None:
        """Unsubscribe and destroy the publishers."""
        self.close_input()
        self.output.close()

    def report(self, held: Counts) -> CameraReport:
        """Tell how the open camera fares; held is what became of its frames in the mailbox."""
        assert self.input is not None, 'the camera is not open'
        arrived = self.input.counts
        tallied, summary = self.tally.read()
        counts = {
            'images': arrived.images,
            'detections': arrived.detections,
            'unpaired_images': arrived.unpaired_images,
            'unpaired_detections': arrived.unpaired_detections,
            'paired': arrived.paired,
            'overwritten': held.overwritten,
            'too_old': held.too_old,
            **tallied,
        }
        self.rates.add(time.monotonic(), counts)
        hertz, trouble = self.rates.hertz(), self.input.trouble
        return CameraReport(
            counts=counts,
            recent=self.rates.since(),
            hertz={name: hertz[name] for name in ('images', 'detections', 'paired', 'published')},
            summary=summary,
            trouble=None if trouble is None else (trouble.kind, trouble.text),
            mismatch=self.input.mismatch,
        )

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.output.camera_info = message
