"""How long the frames of a camera take, stage by stage. Time comes in as an argument."""

from collections import deque
from dataclasses import astuple, dataclass, fields

import numpy as np

SPAN_S = 10.0  # what counts as recent
MOST = 4096  # frames kept, whatever their rate
PERCENTILES = {'median': 50, 'p95': 95, 'p99': 99}


@dataclass(frozen=True)
class FrameTimes:
    """One frame: seconds, and how much it held."""

    latency: float  # from the image's stamp to the published keypoints: the stages together
    arrival: float  # from the stamp until image and detections were here
    wait: float  # for its turn, and for other frames of the turn
    detect: float  # finding the boxes, with those of other frames, where a detector inside does
    crop: float  # reading the image and the detections, cutting out the crops
    network: float  # the forward passes that the frame took part in
    decode: float  # of those passes
    publish: float  # making the message and publishing it
    subjects: int
    batch_size: int  # crops of the largest of those passes; 0: nobody there
    batch_frames: int  # frames that shared it


TIMES = tuple(entry.name for entry in fields(FrameTimes) if entry.type in (float, 'float'))


class RecentFrames:
    """The frames of the last seconds."""

    def __init__(self) -> None:
        self._frames: deque[tuple[float, FrameTimes]] = deque(maxlen=MOST)

    def add(self, now_s: float, times: FrameTimes) -> None:
        """Note a frame."""
        self._frames.append((now_s, times))

    def summary(self, now_s: float) -> dict[str, float]:
        """Return the percentiles of each time, in milliseconds, and figures of the batches.

        Keys: '<time>_<percentile>_ms' for the times of FrameTimes and PERCENTILES, then
        'subjects_mean', 'batch_size_median', 'batch_size_max', 'batch_frames_max'. Empty if no
        frame is recent.
        """
        while self._frames and now_s - self._frames[0][0] > SPAN_S:
            self._frames.popleft()
        if not self._frames:
            return {}
        table = np.array([astuple(times) for _, times in self._frames])
        percentiles = np.percentile(table[:, : len(TIMES)], list(PERCENTILES.values()), axis=0)
        summary = {
            f'{stage}_{name}_ms': 1e3 * float(row[column])
            for column, stage in enumerate(TIMES)
            for name, row in zip(PERCENTILES, percentiles, strict=True)
        }
        subjects, sizes, frames = table[:, len(TIMES) :].T
        summary['subjects_mean'] = float(subjects.mean())
        summary['batch_size_median'] = float(np.median(sizes[sizes > 0])) if sizes.any() else 0.0
        summary['batch_size_max'] = float(sizes.max())
        summary['batch_frames_max'] = float(frames.max())
        return summary


class Rates:
    """Counts that grow, as rates over the last seconds."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, dict[str, int]]] = deque()

    def add(self, now_s: float, counts: dict[str, int]) -> None:
        """Note how high the counts are now."""
        self._history.append((now_s, counts))
        while len(self._history) > 2 and now_s - self._history[1][0] >= SPAN_S:
            self._history.popleft()

    def since(self) -> dict[str, int]:
        """Return how much each count has grown within the time that is kept."""
        if not self._history:
            return {}
        old, new = self._history[0][1], self._history[-1][1]
        return {name: count - old.get(name, 0) for name, count in new.items()}

    def hertz(self) -> dict[str, float]:
        """Return how fast each count grows, per second."""
        span = self._history[-1][0] - self._history[0][0] if self._history else 0.0
        return {name: grown / span if span > 0 else 0.0 for name, grown in self.since().items()}
