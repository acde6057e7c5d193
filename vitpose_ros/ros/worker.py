"""The thread that turns frames into keypoints."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

from vitpose_ros.core.passes import Outcome
from vitpose_ros.core.pipeline import PosePipeline
from vitpose_ros.core.realtime import Mailboxes, Waiting
from vitpose_ros.core.work import Work
from vitpose_ros.ros.camera import Camera
from vitpose_ros.ros.logs import ThrottledLog
from vitpose_ros.ros.network import Network
from vitpose_ros.ros.outputs import Published, Result
from vitpose_ros.ros.people_output import PeopleOutput
from vitpose_ros.ros.reading import Arrival, Pending, Reader
from vitpose_ros.ros.timing import FrameTimes
from vitpose_ros.ros.troubles import Troubles

RECOVERY_S = 0.5  # after an error that should not be, before the work goes on


class Worker:
    """Runs forward pass after forward pass, and publishes each frame as soon as it is done.

    Before each pass it takes the newest frame of every camera that has none under way, so that a
    camera with one subject does not wait for another's crowd.
    """

    def __init__(
        self,
        network: Network,
        cameras: Mapping[str, Camera],
        mailboxes: Mailboxes[Arrival],
        *,
        stamp_clock: Callable[[], int],
        log: ThrottledLog,
        is_running: Callable[[], bool],
        on_device_lost: Callable[[Exception], None],
        pipeline: PosePipeline,
        people: PeopleOutput | None = None,
    ) -> None:
        """Start working.

        stamp_clock returns the time on the clock of the stamps, in nanoseconds; is_running
        whether something can be published still. on_device_lost is called in the thread when no
        further frame can be computed in this process; the thread ends then. pipeline makes
        people of poses, which people publishes, if that is wanted.
        """
        self.fault = ''  # what went wrong that should not; empty again once the work goes on
        self._estimator = network.estimator
        self._cameras = cameras
        self._max_batch = network.estimator.max_batch  # as it was last told
        self._mailboxes = mailboxes
        self._stamp_clock = stamp_clock
        self._log = log
        self._is_running = is_running
        self._on_device_lost = on_device_lost
        self._pipeline = pipeline
        self._people = people
        self._has_device = True
        self._troubles = Troubles(cameras, log, is_running, self._end_without_device)
        self._reader = Reader(network, cameras, pipeline, self._troubles, lambda: mailboxes.closed)
        self._thread = threading.Thread(target=self._run, name='worker', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the forward pass that runs, of whichever network, and end.

        Frames that wait are dropped.
        """
        self._mailboxes.close()
        self._thread.join()

    def _end_without_device(self, error: Exception) -> None:
        self._has_device = False
        self._on_device_lost(error)

    def _run(self) -> None:
        """Work until the mailboxes are closed, whatever happens."""
        ended = False
        while not ended and self._is_running():
            jobs: dict[int, Pending] = {}
            try:
                ended = self._work(self._estimator.work(), jobs)
            except Exception as error:
                fault = f'the work was interrupted: {type(error).__name__}: {error}'
                self._log.error('interrupted', f'{fault}\n{traceback.format_exc()}')
                self.fault = fault  # the log is there before diagnostics point to it
                for job in jobs.values():
                    job.camera.tally.add(failed=1)
                time.sleep(RECOVERY_S)

    def _work(self, work: Work, jobs: dict[int, Pending]) -> bool:
        """Take and publish frames until that is over; jobs holds those under way."""
        while self._is_running() and self._has_device:
            busy = {job.camera.name for job in jobs.values()}
            arrived = self._mailboxes.take(busy)
            if arrived is None:
                break
            answered = []
            for job in self._read(arrived):
                if job.poses is None:
                    jobs[work.add(job.capture.frame)] = job
                else:
                    answered.append((job, Outcome(0, job.poses)))
            self._answer(answered)
            if self._mailboxes.closed:  # while the detector looked
                break
            if work:
                self._pass(work, jobs)
            self.fault = ''
        for job in jobs.values():
            job.camera.tally.add(unfinished=1)
        work.drop()
        return True

    def _read(self, arrived: Sequence[Waiting[Arrival]]) -> list[Pending]:
        try:
            return self._reader.read(arrived)
        except Exception:
            for waiting in arrived:
                self._cameras[waiting.camera].tally.add(failed=1)
            raise

    def _pass(self, work: Work, jobs: dict[int, Pending]) -> None:
        """Run one forward pass, and publish the frames that are done with it."""
        self._answer([(jobs.pop(outcome.index), outcome) for outcome in work.step()])

    def _answer(self, outcomes: Sequence[tuple[Pending, Outcome]]) -> None:
        """Publish frames that are done."""
        done: list[tuple[Pending, Published]] = []
        for job, outcome in outcomes:
            if outcome.error is not None:
                self._troubles.lost(job.waiting, outcome.error)
                if not self._has_device:
                    return
                continue
            try:
                published = self._publish(job, outcome)
            except Exception as error:
                self._troubles.lost(job.waiting, error)
            else:
                done.append((job, published))
        if done and self._estimator.max_batch < self._max_batch:
            self._log.warning(
                'out of memory',
                f'out of memory: forward passes take at most {self._estimator.max_batch} '
                f'subjects from now on, not {self._max_batch}; set max_batch to that, or use a '
                'smaller network',
            )
            self._max_batch = self._estimator.max_batch
        # After all keypoints of the pass: these take longer, and nobody's life depends on them.
        for job, published in done:
            try:
                job.camera.output.publish_pictures(published, job.camera.parameters())
            except Exception as error:
                self._troubles.tell(job.camera, error, 'markers or overlay are lost')

    def _publish(self, job: Pending, outcome: Outcome) -> Published:
        begin_s = time.monotonic()
        sighting = self._pipeline.follow(job.capture, outcome.poses)
        if sighting.people is not None and self._pipeline.is_too_old(sighting):
            behind_s = (sighting.people.stamp_ns - sighting.stamp_ns) / 1e9
            self._troubles.warn(
                job.camera,
                'clock behind',
                f'its images are {behind_s:.1f} s older than another camera has: whom it sees '
                "is not on ~/people; synchronise the clocks of the cameras' hosts",
            )
        result = Result(job.waiting.item.image.header, job.capture.frame, sighting)
        published = job.camera.output.publish(
            result, job.camera.parameters(), since_s=job.waiting.item.space.since_s
        )
        if published.in_space is not None and self._people is not None:
            self._people.publish(published.in_space, sighting)
        end_s = time.monotonic()
        latency_s = (self._stamp_clock() - job.waiting.stamp_ns) / 1e9
        here_s = end_s - job.waiting.arrived_s
        crop_s, publish_s = job.read_s + outcome.crop_s, end_s - begin_s
        work_s = job.detect_s + crop_s + outcome.network_s + outcome.decode_s + publish_s
        job.camera.tally.add(published=1, subjects=len(outcome.poses))
        job.camera.tally.add_times(
            FrameTimes(
                latency=latency_s,
                arrival=latency_s - here_s,
                wait=here_s - work_s,
                detect=job.detect_s,
                crop=crop_s,
                network=outcome.network_s,
                decode=outcome.decode_s,
                publish=publish_s,
                subjects=len(outcome.poses),
                batch_size=outcome.batch_size,
                batch_frames=outcome.batch_frames,
            )
        )
        return published
