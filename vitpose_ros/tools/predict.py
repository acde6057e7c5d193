"""Estimate poses in pictures and videos: draw them, and write them as JSON."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from vitpose_ros.core.boxes.detector import LEAST_SCORE
from vitpose_ros.core.boxes.known import find_detector, load_detector
from vitpose_ros.core.captures import Capture
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.pipeline import PosePipeline
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import keypoint_set_of_class
from vitpose_ros.core.types import Frame, as_boxes, box_fault
from vitpose_ros.tools import command
from vitpose_ros.tools.boxes import BoxFile
from vitpose_ros.tools.media import (
    MediaError,
    Pictures,
    Shot,
    count_shots,
    find_files,
    read_shots,
)
from vitpose_ros.tools.progress import Progress

TOGETHER = 8  # shots that share forward passes
OUTPUT = Path('predicted')


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        'sources', type=Path, nargs='+', metavar='SOURCE', help='a picture, a video, or a folder'
    )
    command.add_model(parser)
    parser.add_argument(
        '--boxes', type=Path, metavar='FILE',
        help="of the subjects, in COCO's results format: bbox as x, y, width, height; the picture "
        'by file_name, else by image_id as its index in sorted order, from 0. Without it and '
        '--detector each picture is one subject',
    )  # fmt: skip
    parser.add_argument(
        '--detector', metavar='DETECTOR',
        help='finds the subjects: a known name, or a directory of Hugging Face transformers',
    )  # fmt: skip
    parser.add_argument(
        '--detector-every', type=command.whole(1), default=1, metavar='N',
        help='of how many frames of a video the detector looks at one; between them, boxes are '
        'where the tracks expect them, which needs --tracking on; 1',
    )  # fmt: skip
    parser.add_argument(
        '--box-threshold', type=command.number, metavar='SCORE',
        help=f'least score of a box; with --boxes 0, with --detector {LEAST_SCORE} if left out',
    )  # fmt: skip
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the poses there')
    parser.add_argument(
        '--output', type=Path, metavar='FOLDER',
        help=f'write pictures and videos with the poses there; {OUTPUT}, if there is no --json',
    )  # fmt: skip
    command.add_tracking(parser)
    command.add_options(parser)
    return command.run(parser, _predict, arguments)


def _predict(chosen: argparse.Namespace) -> None:
    """Do all of it; what cannot be read or written is named before the network is loaded."""
    options, tracks = command.read_options(chosen), command.read_tracking(chosen)
    if chosen.detector is not None and chosen.boxes is not None:
        raise command.ToolError('--boxes and --detector both tell of boxes; give one of them')
    if chosen.box_threshold is not None and chosen.detector is None and chosen.boxes is None:
        raise command.ToolError('--box-threshold is for boxes; give --boxes or --detector')
    if chosen.detector_every > 1 and chosen.detector is None:
        raise command.ToolError('--detector-every is for a detector; give --detector')
    folder = None if chosen.detector is None else find_detector(chosen.detector)
    files = find_files(chosen.sources)
    if chosen.json is not None:
        command.keep('--json', chosen.json, [*files, *filter(None, [chosen.boxes])])
    boxes = None if chosen.boxes is None else BoxFile(chosen.boxes, chosen.box_threshold or 0.0)
    output = chosen.output or (None if chosen.json else OUTPUT)
    with ExitStack() as stack:
        pictures = None
        if output is not None:
            pictures = Pictures(output, files)
            stack.callback(pictures.close)
        if chosen.json is not None and (fault := command.new_file_fault(chosen.json)):
            raise command.ToolError(f'--json: {fault}')
        estimator = PoseEstimator.with_options(chosen.model, options)
        if estimator.backend.warning:
            print(f'warning: {estimator.backend.warning}', file=sys.stderr)
        detector = None
        if folder is not None:
            detector = load_detector(folder, estimator.backend)
        pipeline = PosePipeline(
            estimator,
            tracks,
            detector=detector,
            detector_every=chosen.detector_every,
            least_score=LEAST_SCORE if chosen.box_threshold is None else chosen.box_threshold,
        )
        listing = None  # an existing file stays as it is until the networks are loaded
        if chosen.json is not None:
            listing = _Listing(stack.enter_context(_open(chosen.json)))
            stack.callback(listing.close)
        progress = Progress(count_shots(files))
        stack.callback(progress.close)
        subjects = shots = 0
        unreadable: list[Path] = []
        for shot, poses in _poses(pipeline, read_shots(files, unreadable), boxes):
            if listing is not None:
                listing.add(shot, poses)
            if pictures is not None:
                pictures.write(shot, poses.draw(shot.image, channels='bgr'))
            progress.add()
            shots, subjects = shots + 1, subjects + len(poses)
    places = ', '.join(str(place) for place in (output, chosen.json) if place is not None)
    print(f'{subjects} subjects in {shots} pictures: {places}')
    faults = []
    if unreadable:
        names = ', '.join(f"'{path}'" for path in unreadable)
        faults.append(f'OpenCV does not read {names}: left out')
    if boxes is not None and (unused := boxes.unused()):
        if boxes.missed:
            faults.append(unused)
        else:
            print(f'warning: {unused}', file=sys.stderr)
    if faults:
        raise MediaError('; '.join(faults))


def _poses(
    pipeline: PosePipeline, shots: Iterator[Shot], boxes: BoxFile | None
) -> Iterator[tuple[Shot, Poses]]:
    """Estimate the poses in shot after shot; each file is a camera of its own."""
    while some := list(islice(shots, TOGETHER)):
        captures = [
            Capture(
                _frame(pipeline.estimator, shot, boxes), round(shot.time_s * 1e9), str(shot.path)
            )
            for shot in some
        ]
        sightings = pipeline.process(captures)
        yield from zip(some, (sighting.poses for sighting in sightings), strict=True)


def _frame(estimator: PoseEstimator, shot: Shot, boxes: BoxFile | None) -> Frame:
    """Return a shot with its boxes; those that are none are left out, and that is said."""
    height, width = shot.image.shape[:2]
    if boxes is None:  # a detector does not look at it
        return Frame(shot.image, as_boxes((0, 0, width, height)), 'bgr')
    found = boxes.of(shot)
    corners, good = as_boxes(found.corners), []
    for index, box in enumerate(corners):
        if fault := box_fault(box, width, height):
            where = f"'{boxes.path}': box {box.round(1).tolist()} of '{shot.path}'"
            print(f'warning: {where} {fault}; it is left out', file=sys.stderr)
        else:
            good.append(index)
    names = [found.class_names[index] for index in good]
    loaded = [skeleton.name for skeleton in estimator.skeletons]
    return Frame(
        shot.image,
        corners[good],
        'bgr',
        keypoint_sets=[keypoint_set_of_class(name, loaded) or loaded[0] for name in names],
        class_names=names,
        track_ids=[found.track_ids[index] for index in good],
        box_scores=np.array([found.scores[index] for index in good], dtype=np.float32),
    )


class _Listing:
    """Writes a JSON list, an object per line, as they come."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._between = '[\n'

    def add(self, shot: Shot, poses: Poses) -> None:
        """Write the poses of a shot."""
        about = {'source': str(shot.path), 'frame': shot.frame, **poses.to_dict()}
        self._file.write(self._between + json.dumps(about, allow_nan=False))
        self._between = ',\n'

    def close(self) -> None:
        """End the list."""
        self._file.write('[]\n' if self._between == '[\n' else '\n]\n')


def _open(path: Path) -> TextIO:
    try:
        return path.open('w', encoding='utf-8')
    except OSError as error:
        raise MediaError(f"'{path}': {error.strerror}; give another --json") from error
