"""The thread that turns frames into keypoints."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vision_msgs.msg import Detection2DArray

from vitpose_ros.core import Frame
from vitpose_ros.core.passes import Outcome
from vitpose_ros.core.pipeline import Capture, PosePipeline
from vitpose_ros.core.realtime import Mailboxes, Waiting
from vitpose_ros.core.runtime.faults import is_device_lost
from vitpose_ros.core.work import Work
from vitpose_ros.ros.camera import Camera
from vitpose_ros.ros.captures import capture_of
from vitpose_ros.ros.detections import read_detections, whole_image
from vitpose_ros.ros.gathering import Space
from vitpose_ros.ros.images import read_encoded, read_image
from vitpose_ros.ros.logs import InputError, ThrottledLog
from vitpose_ros.ros.network import Network
from vitpose_ros.ros.outputs import Published, Result
from vitpose_ros.ros.pairing import AnyImage
from vitpose_ros.ros.people_output import PeopleOutput
from vitpose_ros.ros.timing import FrameTimes

RECOVERY_S = 0.5  # after an error that should not be, before the work goes on


@dataclass(frozen=True)
class Arrival:
    """A complete frame, as it came."""

    image: AnyImage
    detections: Detection2DArray | None  # None: the image holds a single subject
    space: Space

    @property
    def size(self) -> int:
        """Its bytes."""
        depth = self.space.depth
        return len(self.image.data) + (0 if depth is None else len(depth.data))


@dataclass(frozen=True, eq=False)
class Pending:
    """A frame that was read and is not answered yet."""

    waiting: Waiting[Arrival]
    camera: Camera
    capture: Capture
    read_s: float  # how long reading took


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
        self._max_batch = network.estimator.max_batch  # as it was last told
        self._keypoint_sets = network.keypoint_sets
        self._cameras = cameras
        self._mailboxes = mailboxes
        self._stamp_clock = stamp_clock
        self._log = log
        self._is_running = is_running
        self._on_device_lost = on_device_lost
        self._pipeline = pipeline
        self._takes_ids = pipeline.options.tracking == 'detections'
        self._people = people
        self._has_device = True
        decodes_jpeg = self._estimator.backend.decodes_jpeg
        self._read_image = read_encoded if decodes_jpeg else read_image
        self._thread = threading.Thread(target=self._run, name='worker', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the forward pass that runs, and end; frames that wait are dropped."""
        self._mailboxes.close()
        self._thread.join()

    def _run(self) -> None:
        """Work until the mailboxes are closed, whatever happens."""
        ended = False
        while not ended and self._is_running():
            jobs: dict[int, Pending] = {}
            try:
                ended = self._work(self._estimator.work(), jobs)
            except Exception as error:
                self.fault = f'the work was interrupted: {type(error).__name__}: {error}'
                self._log.error('interrupted', f'{self.fault}\n{traceback.format_exc()}')
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
            for waiting in arrived:
                job = self._read(waiting)
                if job is not None:
                    jobs[work.add(job.capture.frame)] = job
            if work:
                self._pass(work, jobs)
            self.fault = ''
        for job in jobs.values():
            job.camera.tally.add(unfinished=1)
        work.drop()
        return True

    def _pass(self, work: Work, jobs: dict[int, Pending]) -> None:
        """Run one forward pass, and publish the frames that are done with it."""
        done: list[tuple[Pending, Published]] = []
        for outcome in work.step():
            job = jobs.pop(outcome.index)
            if outcome.error is not None:
                self._lost(job.waiting, outcome.error)
                if is_device_lost(outcome.error):
                    self._has_device = False
                    self._on_device_lost(outcome.error)
                    return
                continue
            try:
                published = self._publish(job, outcome)
            except Exception as error:
                self._lost(job.waiting, error)
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
                self._trouble(job.camera, error, 'markers or overlay are lost')

    def _read(self, waiting: Waiting[Arrival]) -> Pending | None:
        begin_s = time.monotonic()
        camera = self._cameras[waiting.camera]
        try:
            image, channels = self._read_image(waiting.item.image)
            height, width = image.shape[:2]
            if waiting.item.detections is None:
                detections = whole_image(width, height)
            else:
                detections = read_detections(
                    waiting.item.detections,
                    camera.parameters().detection_filter,
                    width=width,
                    height=height,
                )
            keypoint_sets = [self._keypoint_sets.keypoint_set(c) for c in detections.class_ids]
            frame = Frame(
                image,
                detections.boxes,
                channels,
                keypoint_sets,
                detections.class_ids,
                detections.ids if self._takes_ids else [''] * len(detections.ids),
                detections.scores,
            )
        except Exception as error:
            self._lost(waiting, error)
            return None
        for fault in detections.faults:
            self._trouble(camera, fault)
        camera.tally.add(
            filtered=detections.filtered,
            left_out=detections.left_out,
            faulty_boxes=detections.faulty,
        )
        capture = self._capture(waiting, camera, frame)
        return Pending(waiting, camera, capture, time.monotonic() - begin_s)

    def _capture(self, waiting: Waiting[Arrival], camera: Camera, frame: Frame) -> Capture:
        """Add what tells of space to a frame; say what is missing."""
        capture, reason = capture_of(frame, waiting.stamp_ns, waiting.camera, waiting.item.space)
        if camera.parameters().depth == 'off':
            return capture
        camera.tally.add_space('' if reason is None else reason.text)
        if reason is not None:
            where = f"camera '{camera.name}': " if camera.name else ''
            self._log.warning(
                f'{camera.name} {reason.kind}', f'{where}not in metres: {reason.text}'
            )
        return capture

    def _publish(self, job: Pending, outcome: Outcome) -> Published:
        begin_s = time.monotonic()
        sighting = self._pipeline.follow(job.capture, outcome.poses)
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
        job.camera.tally.add(published=1, subjects=len(outcome.poses))
        job.camera.tally.add_times(
            FrameTimes(
                latency=latency_s,
                arrival=latency_s - here_s,
                wait=here_s - crop_s - outcome.network_s - outcome.decode_s - publish_s,
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

    def _lost(self, waiting: Waiting[Arrival], error: Exception) -> None:
        """Say that a frame is lost."""
        camera = self._cameras[waiting.camera]
        camera.tally.add(failed=1)
        seconds, nanoseconds = divmod(waiting.stamp_ns, 1_000_000_000)
        self._trouble(camera, error, f'the frame of stamp {seconds}.{nanoseconds:09d} is lost')

    def _trouble(self, camera: Camera, error: Exception, consequence: str = '') -> None:
        if not self._is_running():
            return
        where = f"camera '{camera.name}': " if camera.name else ''
        if isinstance(error, InputError):
            self._log.error(f'{camera.name} {error.kind}', f'{where}{error}')
        else:
            what = type(error).__name__
            self._log.error(f'{camera.name} {what}', f'{where}{consequence}: {what}: {error}')
