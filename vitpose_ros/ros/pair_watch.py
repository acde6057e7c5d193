"""Notices when images and detections do not meet."""

from dataclasses import dataclass

from builtin_interfaces.msg import Time

PATIENCE_S = 3.0  # of arrivals without a pair, before a warning
SILENCE_S = 10.0  # without any arrival, before a warning
REPEAT_S = 10.0  # between the first two warnings of a kind; each further pause is twice as long
LONGEST_REPEAT_S = 640.0


@dataclass(frozen=True)
class Trouble:
    """Why no frames come."""

    kind: str  # 'nothing', 'no images', 'no detections' or 'no pairs'
    text: str


class PairWatch:
    """Notices when nothing pairs, and says what is missing. Time comes in as an argument.

    Without a topic of detections, each image is a pair by itself.
    """

    def __init__(self, now_s: float, *, image_topic: str, detections_topic: str | None) -> None:
        self._image_topic = image_topic
        self._detections_topic = detections_topic
        self._newest: dict[str, tuple[Time, float]] = {}  # topic → stamp, arrival; since a pair
        self._since_s = now_s  # the last pair, or the first arrival after a silence
        self._next_s: dict[str, float] = {}  # kind of trouble → when to say it next
        self._pause_s: dict[str, float] = {}  # … and how long to wait after that
        self._crowding = '', now_s  # why images went before their detections came, and when

    def arrived(self, topic: str, stamp: Time, now_s: float) -> None:
        """Note a message on one of the two topics."""
        if not self._newest:
            self._since_s = now_s
        self._newest[topic] = stamp, now_s

    def crowded(self, why: str, now_s: float) -> None:
        """Note that an image that waited made room for newer ones, and why."""
        self._crowding = why, now_s

    def crowding(self, now_s: float) -> str:
        """Return why images make room for newer ones; empty if none did lately."""
        why, since_s = self._crowding
        return why if now_s - since_s < SILENCE_S else ''

    def paired(self, now_s: float) -> None:
        """Note that an image and its detections met."""
        self._newest.clear()
        self._next_s.clear()
        self._pause_s.clear()
        self._since_s = now_s

    def trouble(self, now_s: float) -> Trouble | None:
        """Say what is wrong, if nothing has paired for long."""
        for topic, (_, arrival_s) in list(self._newest.items()):
            if now_s - arrival_s >= SILENCE_S:
                del self._newest[topic]
        if now_s - self._since_s < (PATIENCE_S if self._newest else SILENCE_S):
            return None
        return self._describe(self.crowding(now_s))

    def complaint(self, now_s: float) -> str | None:
        """Say what is wrong, if that was not said lately: the longer it lasts, the seldomer."""
        trouble = self.trouble(now_s)
        if trouble is None:
            return None
        kind = trouble.kind
        if now_s < self._next_s.get(kind, now_s):
            return None
        pause_s = self._pause_s.get(kind, REPEAT_S)
        self._next_s[kind] = now_s + pause_s
        self._pause_s[kind] = min(2 * pause_s, LONGEST_REPEAT_S)
        return trouble.text

    def _describe(self, crowding: str) -> Trouble:
        images, detections = self._image_topic, self._detections_topic
        if detections is None:
            return Trouble(
                'no images',
                f"nothing arrives on '{images}'; is the camera running, and the topic remapped?",
            )
        if not self._newest:
            return Trouble(
                'nothing',
                f"nothing arrives on '{images}' and '{detections}'; are the camera and the "
                'detector running, and the topics remapped?',
            )
        if detections not in self._newest:
            return Trouble(
                'no detections',
                f"images arrive on '{images}' but no detections on '{detections}'; is the "
                'detector running? It must publish an empty array, too, when it sees nobody. '
                'Without one of your own, set box_source to detector',
            )
        if images not in self._newest:
            return Trouble(
                'no images',
                f"detections arrive on '{detections}' but no images on '{images}'; is the "
                'camera running?',
            )
        return Trouble(
            'no pairs',
            f"images on '{images}' and detections on '{detections}' do not pair: newest image "
            f'stamp {_seconds(self._newest[images][0])}, newest detections stamp '
            f'{_seconds(self._newest[detections][0])}; '
            + (
                crowding
                or 'the detector must copy the header of its image (or set sync_slop_ms), and '
                'sync_queue_size, queue_mb and sync_timeout_s must span its delay'
            ),
        )


def _seconds(stamp: Time) -> str:
    return f'{stamp.sec}.{stamp.nanosec:09d}'
