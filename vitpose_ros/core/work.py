"""Which subjects go through the network next: frames join, and are done, between passes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.passes import Outcome, Part, Passes
from vitpose_ros.core.runtime.faults import is_out_of_memory
from vitpose_ros.core.types import Frame, FrameError


@dataclass(eq=False)
class Job:
    """A frame that is not done yet."""

    frame: Frame
    sets: NDArray[np.int64]  # of each box the index of its keypoint set
    outcome: Outcome
    done: int = 0  # boxes
    alone: bool = False  # shares no pass, as one that it took part in failed

    @property
    def left(self) -> int:
        """The number of subjects that are still to be done; none after an error."""
        return len(self.frame.boxes) - self.done if self.outcome.error is None else 0

    def next(self, most: int) -> Part:
        """Return the next subjects, at most so many."""
        stop = self.done + min(self.left, most)
        return Part(self.frame, self.sets, self.done, stop, self.outcome)


class Work:
    """Frames on their way through a network, for one thread.

    Each pass takes subjects of several frames: up to half of them of the frame that has waited
    longest, the rest of those with the fewest subjects left. So a frame with few subjects is done
    in the next pass, however many another one has; and that one goes on with every pass. An error
    costs the frame that causes it, and no other. Where memory runs out, and fewer crops would
    help, the estimator's max_batch is halved, for good, and the crops go through in parts.
    """

    def __init__(self, passes: Passes) -> None:
        """Take what runs the passes."""
        self._passes = passes
        self._jobs: list[Job] = []  # in the order in which they came
        self._count = 0
        self._odd = False  # whether the pass is one in which half a subject counts as one
        self._relieved = False  # whether a pass of as many crops is tried again

    def __bool__(self) -> bool:
        """Tell whether something is left."""
        return bool(self._jobs)

    def add(self, frame: Frame) -> int:
        """Let a frame join; return its number, counted from 0: the index of its outcome."""
        index, error = self._count, None
        self._count += 1
        try:
            sets = self._passes.sets_of(frame)
        except FrameError as fault:
            sets, error = np.zeros(len(frame.boxes), dtype=np.int64), fault
        poses = self._passes.unfilled(frame, sets)
        if error is not None:
            poses = poses[:0]
        self._jobs.append(Job(frame, sets, Outcome(index, poses, error)))
        return index

    def drop(self) -> list[int]:
        """Leave out all that is left; return the numbers of those frames."""
        dropped = [job.outcome.index for job in self._jobs]
        self._jobs.clear()
        return dropped

    def step(self) -> list[Outcome]:
        """Run a forward pass, unless frames are done without; return the frames that are done."""
        if (done := self._take_done()) or not self._jobs:
            return done
        with self._passes.lock:
            batch = self._next(self._passes.max_batch)
            parts = [part for _, part in batch]
            try:
                self._passes.run(parts)
            except Exception as error:
                self._failed([job for job, _ in batch], sum(map(len, parts)), error)
            else:
                self._relieved = False
                for job, part in batch:
                    job.done = part.stop
        return self._take_done()

    def _next(self, most: int) -> list[tuple[Job, Part]]:
        """Return the subjects of the next pass."""
        if suspects := [job for job in self._jobs if job.alone]:
            job = min(suspects, key=lambda suspect: suspect.left)
            return [(job, job.next(most))]
        self._odd = not self._odd
        oldest, *others = self._jobs
        room = most - min(oldest.left, (most + self._odd) // 2)
        batch = []
        for job in sorted(others, key=lambda other: other.left):
            if not room:
                break
            batch.append((job, job.next(room)))
            room -= len(batch[-1][1])
        taken = sum(len(part) for _, part in batch)
        if taken < most:
            batch.insert(0, (oldest, oldest.next(most - taken)))
        return batch

    def _failed(self, jobs: Sequence[Job], count: int, error: Exception) -> None:
        """Decide what happens after a pass of so many crops failed."""
        out_of_memory, fewer = is_out_of_memory(error), count
        if out_of_memory:
            error.__traceback__ = None  # which holds on to the memory
            fewer = self._passes.backend.relieve(count)
        if fewer < count:
            self._passes.max_batch = fewer
        elif out_of_memory and not self._relieved:
            self._relieved = True
        elif len(jobs) > 1:  # one by one, to find the frame that causes it
            for job in jobs:
                job.alone = True
        else:
            jobs[0].outcome.error = error
            jobs[0].outcome.poses = jobs[0].outcome.poses[:0]

    def _take_done(self) -> list[Outcome]:
        """Take out the frames of which nothing is left."""
        done = [job.outcome for job in self._jobs if not job.left]
        self._jobs = [job for job in self._jobs if job.left]
        return done
