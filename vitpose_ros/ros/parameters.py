"""The parameters of pose_node: one table for node, configuration file, launch file and README."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from vitpose_ros.core.boxes import carrying
from vitpose_ros.core.boxes.classes import NUMBERINGS, ClassNames
from vitpose_ros.core.boxes.objects import Filter
from vitpose_ros.core.drawing import MIN_SCORE, PALETTES, THICKEST, THINNEST, Style
from vitpose_ros.core.errors import either
from vitpose_ros.core.geometry.surfaces import STEREO, DepthError
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.ros.parameter import check, option, parameter

TAKEN = ('network',)  # names in diagnostics that are those of no camera
# Sources of boxes that are looked for in the node, by one thing for all cameras.
SOURCES_INSIDE = ('detector', 'bottom_up')
CAMERA_NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]*')


@dataclass(frozen=True)
class Parameters:
    """The table, and one reading of it."""

    model: str = parameter(
        'nano',
        "Network: a known name ('nano' comes with the package, 'ros2 run vitpose_ros models "
        "list' shows the others), a file of weights, or a Hugging Face directory",
    )
    keypoint_sets: tuple[str, ...] = parameter(
        (),
        'Keypoint sets to use, as in [coco, ap10k]; each subject gets the first that fits its '
        "detection's class, else the first of all. Empty: those of class_keypoint_sets, or the "
        "network's first",
    )
    class_keypoint_sets: tuple[str, ...] = parameter(
        (),
        'Keypoint sets of some classes, by name or number, as in '
        "['person:wholebody', 'dog:ap10k']; they go before the choice by keypoint_sets",
    )
    class_names: tuple[str, ...] = parameter(
        ('coco80',),
        "What detection classes that are numbers mean: 'coco80' (0 is person), 'coco91' (1 is "
        'person), or their names, from number 0 on',
    )
    device: str = option(
        'device', '; without the device asked for, on the processor, and diagnostics warn'
    )
    backend: str = option('backend')
    precision: str = option('precision')
    cuda_graphs: str = option('cuda_graphs')
    threads: int = option('threads')
    autostart: bool = parameter(
        True, 'Configure and activate at the start; false leaves that to a lifecycle manager'
    )
    cameras: tuple[str, ...] = parameter(
        (),
        'Names of the cameras, as in [front, rear]: topics are then front/image and so on. '
        'Empty: one camera without a name',
    )
    image_transport: str = parameter(
        'raw',
        "'raw' images, or 'compressed' ones (JPEG or PNG) from the topic image/compressed",
        choices=('raw', 'compressed'),
        per_camera=True,
    )
    box_source: str = parameter(
        'topic',
        "Where the boxes come from: 'topic'; 'detector', the one that the parameter detector "
        "names; 'bottom_up', the network that bottom_up_model names, which finds people and their "
        "keypoints in the whole image; or 'full_image' for a camera that sees one subject",
        choices=('topic', *SOURCES_INSIDE, 'full_image'),
        per_camera=True,
    )
    detector: str = parameter(
        'dfine-nano',
        "Where box_source is 'detector', which one: a known name ('ros2 run vitpose_ros models "
        "list' shows them), or a directory with a detector of Hugging Face transformers",
    )
    bottom_up_model: str = parameter(
        '',
        "Where box_source is 'bottom_up', which network: a file of weights that "
        "'python -m training.train crowd' made",
    )
    refine: bool = parameter(
        False,
        "Where box_source is 'bottom_up', whether the network of model estimates whom that finds",
    )
    detector_every: int = parameter(
        1,
        'Of how many frames of a camera the detector looks at one; between them, boxes are where '
        'the tracks of the subjects expect them. More than 1 needs tracking',
        minimum=1,
        maximum=100,
    )
    detection_classes: tuple[str, ...] = parameter(
        (),
        'Classes that get keypoints, by name or number, as in [person, dog]; empty: all, and of '
        'the detector inside those that a keypoint set is for',
        live=True,
    )
    min_detection_score: float = parameter(
        0.0,
        'Detections below this score get no keypoints; those without a score do. 0: none are '
        'too low, and with the detector inside those below 0.3',
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    max_subjects: int = parameter(
        64,
        'Most subjects of a frame that get keypoints, the largest boxes first',
        minimum=1,
        maximum=1000,
        live=True,
        per_camera=True,
    )
    max_age_ms: float = parameter(
        0.0,
        'Frames older than this when their turn comes are dropped; 0: none are',
        minimum=0.0,
        maximum=3600000.0,
        live=True,
    )
    max_batch: int = option('max_batch')
    sync_slop_ms: float = parameter(
        0.0,
        'How far the stamps of an image and its detections may differ; 0: not at all',
        minimum=0.0,
        maximum=10000.0,
    )
    sync_queue_size: int = parameter(
        30,
        'Images, and detections, of each camera that wait for their counterpart; it must span '
        "the detector's delay",
        minimum=1,
        maximum=1000,
    )
    sync_timeout_s: float = parameter(
        10.0,
        'Seconds after which an image, or detections, without a counterpart are given up',
        minimum=0.1,
        maximum=3600.0,
    )
    queue_mb: float = parameter(
        64.0,
        'Megabytes of images that may wait in each of the two queues of a camera, for their '
        'detections and for the network, and in each of the two that depth adds; it must span '
        "the detector's delay, too (64 hold 0.3 s of "
        '1080p at 30 Hz, 0.4 s of 4K at 5 Hz); the oldest make room for newer ones',
        minimum=1.0,
        maximum=100000.0,
    )
    frame_queue_size: int = parameter(
        1,
        'Complete frames of each camera that wait for the network; more than 1 only where every '
        'frame counts more than a short delay',
        minimum=1,
        maximum=100,
    )
    tracking: str = option('tracking')
    track_timeout_s: float = option('track_timeout_s')
    track_high_score: float = option('track_high_score')
    track_low_score: float = option('track_low_score')
    smoothing: str = option('smoothing', ' (~/keypoints)')
    depth: str = parameter(
        'off',
        "Depth images, for people in metres: 'off'; 'raw' ones (16UC1 in millimetres, 32FC1 in "
        "metres) from the topic depth; 'compressed' ones from depth/compressedDepth. They need "
        'the camera_info of the image and, if they are not registered to it, their own, and TF',
        choices=('off', 'raw', 'compressed'),
        per_camera=True,
    )
    depth_slop_ms: float = parameter(
        20.0,
        'How far the stamps of an image and its depth image may differ',
        minimum=0.0,
        maximum=10000.0,
    )
    depth_timeout_ms: float = parameter(
        100.0,
        'How long an image waits for its depth image and for TF at most; the 2D goes on without',
        minimum=0.0,
        maximum=10000.0,
    )
    depth_noise: float = parameter(
        STEREO.quadratic,
        'Standard deviation of the depth camera at 1 m, in metres; it grows with the square of '
        'the distance',
        minimum=0.0,
        maximum=1.0,
    )
    target_frame: str = parameter(
        '',
        'Frame of ~/keypoints_3d and ~/people, such as odom or map: one that does not move, so '
        "that a camera's own motion is no motion of people. Empty: the camera's optical frame",
    )
    smoothing_3d: str = option('smoothing_3d', ' (~/keypoints_3d)')
    max_tf_bodies: int = parameter(
        0,
        'Most people of ~/people that are on TF, too, as body_<track_id>, those known longest '
        'first; 0: none',
        minimum=0,
        maximum=1000,
        live=True,
    )
    decode: str = option('decode')
    flip_test: bool = option('flip_test')
    heatmap_spread: bool = option('heatmap_spread')
    min_keypoint_score: float = parameter(
        MIN_SCORE,
        'Markers and overlay leave out keypoints below this score; ~/keypoints has them all',
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    palette: str = parameter(
        'side',
        "Colours of markers and overlay: by 'side' (left, right, centre), or by track 'id'",
        choices=PALETTES,
        live=True,
    )
    labels: bool = parameter(
        True, 'Write class and track id above each subject, in markers and overlay', live=True
    )
    thickness: float = parameter(
        1.0,
        'Thickness of lines and joints in markers and overlay, as a factor',
        minimum=THINNEST,
        maximum=THICKEST,
        live=True,
    )
    marker_lifetime: float = parameter(
        0.5,
        'Seconds after which a marker disappears by itself, but not before three frames without '
        'it could have come; 0 keeps it',
        minimum=0.0,
        maximum=60.0,
        live=True,
    )
    marker_distance: float = parameter(
        3.0,
        'Metres before the camera at which the markers stand where there is no depth',
        minimum=0.1,
        maximum=100.0,
        live=True,
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is none of the choices, not readable, or unfit."""
        for entry in fields(self):
            check(entry, getattr(self, entry.name))
        self.camera_names()
        if re.search(r'^/|\s', self.target_frame):  # tf2 has no such frames
            raise ValueError(
                f"target_frame is '{self.target_frame}'; give the name of a frame without a "
                'leading slash and spaces, such as odom'
            )
        self.keypoint_sets_by_class()
        self.numbered_class_names()
        carrying.check(self.track_options, self.detector_every)

    @property
    def style(self) -> Style:
        """How markers and overlay are drawn."""
        return Style(self.min_keypoint_score, self.palette, self.thickness, self.labels)

    @property
    def detection_filter(self) -> Filter:
        """Which detections get keypoints."""
        return Filter(
            self.numbered_class_names(),
            self.detection_classes,
            self.min_detection_score,
            self.max_subjects,
        )

    @property
    def track_options(self) -> TrackOptions:
        """How subjects are followed."""
        return TrackOptions(
            tracking=self.tracking,
            track_timeout_s=self.track_timeout_s,
            track_high_score=self.track_high_score,
            track_low_score=self.track_low_score,
            smoothing=self.smoothing,
            smoothing_3d=self.smoothing_3d,
        )

    @property
    def depth_error(self) -> DepthError:
        """How wrong depths are."""
        return DepthError(quadratic=self.depth_noise)

    def camera_names(self) -> Sequence[str]:
        """Return the names of the cameras; one that is empty for the only camera."""
        for name in self.cameras:
            if name in TAKEN:
                raise ValueError(f"cameras has '{name}', which diagnostics say of the node itself")
            if not CAMERA_NAME.fullmatch(name) or self.cameras.count(name) > 1:
                raise ValueError(
                    f"cameras has '{name}'; give different names of letters, digits "
                    'and underscores, such as [front, rear]'
                )
        return self.cameras or ('',)

    def keypoint_sets_by_class(self) -> dict[str, str]:
        """Return the parameter class_keypoint_sets as a dictionary."""
        by_class: dict[str, str] = {}
        for word in self.class_keypoint_sets:
            class_id, _, keypoint_set = (part.strip() for part in word.rpartition(':'))
            if not class_id or not keypoint_set:
                raise ValueError(
                    f"class_keypoint_sets has '{word}'; give pairs such as "
                    "['person:wholebody', 'dog:ap10k']"
                )
            if keypoint_set not in SKELETONS or class_id in by_class:
                raise ValueError(
                    f"class_keypoint_sets has '{word}'; give each class one keypoint set, "
                    f'{either(list(SKELETONS))}'
                )
            by_class[class_id] = keypoint_set
        return by_class

    def wanted_keypoint_sets(self) -> list[str]:
        """Return the keypoint sets to load; none: the network's first."""
        return list(self.keypoint_sets or dict.fromkeys(self.keypoint_sets_by_class().values()))

    def numbered_class_names(self) -> ClassNames:
        """Return what the parameter class_names says."""
        words = self.class_names
        # A single name may be that of the only class, but not one that is nearly a numbering's.
        is_numbering = len(words) == 1 and difflib.get_close_matches(words[0].lower(), NUMBERINGS)
        return ClassNames(words[0] if is_numbering else words)


def table() -> tuple[Field[Any], ...]:
    """Return the parameters as dataclass fields, in the order of the table."""
    return fields(Parameters)
