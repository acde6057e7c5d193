"""What detectors call the things that they detect: names, or numbers that stand for names.

The names and both numberings are those of COCO (Lin et al., "Microsoft COCO: Common Objects in
Context", 2014, arXiv:1405.0312). Most detectors number its 80 classes from 0 ('coco80'); some use
the numbers of its annotation files, 1 to 90 with gaps ('coco91').
"""

from collections.abc import Collection, Mapping, Sequence

from vitpose_ros.core.skeletons import SKELETONS, keypoint_set_of_class

COCO_NAMES = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
    'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella',
    'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
    'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich',
    'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch',
    'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote',
    'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book',
    'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush',
)  # fmt: skip
NUMBERS_LEFT_OUT = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # of the annotation files

NUMBERINGS: Mapping[str, Mapping[str, str]] = {
    'coco80': {str(number): name for number, name in enumerate(COCO_NAMES)},
    'coco91': {
        str(number): name
        for number, name in zip(
            (number for number in range(1, 91) if number not in NUMBERS_LEFT_OUT),
            COCO_NAMES,
            strict=True,
        )
    },
}


class ClassNames:
    """Turns class ids, names or numbers, into names that can be compared."""

    def __init__(self, numbered: str | Sequence[str]) -> None:
        """Take the names of the numbers: a key of NUMBERINGS, or the names from number 0 on."""
        if isinstance(numbered, str):
            if numbered not in NUMBERINGS:
                raise ValueError(
                    f"class numbering '{numbered}' is not known; give one of "
                    f'{", ".join(NUMBERINGS)}, or the names in the order of their numbers'
                )
            self._names = NUMBERINGS[numbered]
        else:
            self._names = {str(number): name for number, name in enumerate(numbered)}

    def name(self, class_id: str) -> str:
        """Return the name for a class id in lower case; a number without a name as it is."""
        class_id = class_id.strip()
        return self._names.get(class_id, class_id).lower()

    def is_one_of(self, class_id: str, wanted: Collection[str]) -> bool:
        """Tell whether a class is among those wanted, each given by name or number."""
        return self.name(class_id) in {self.name(other) for other in wanted}


class KeypointSetChoice:
    """Chooses the keypoint set of each subject by the class of its detection."""

    def __init__(
        self, names: ClassNames, keypoint_sets: Sequence[str], by_class: Mapping[str, str]
    ) -> None:
        """Take the sets in use, and the set for some classes, each by name or number.

        A class that by_class does not name gets the first set that fits it, and if there is
        none, the first of all. Raises ValueError for a set that is not in use.
        """
        for class_id, keypoint_set in by_class.items():
            if keypoint_set not in keypoint_sets:
                raise ValueError(
                    f"keypoint set '{keypoint_set}' for class '{class_id}' is not in use, only "
                    f'{", ".join(keypoint_sets)}; name it in keypoint_sets too'
                )
        self._names = names
        self._keypoint_sets = keypoint_sets
        self._by_class = {names.name(class_id): key for class_id, key in by_class.items()}

    def fitting(self) -> list[str]:
        """Return the names of all classes that some keypoint set is meant for."""
        fitting = [name for key in self._keypoint_sets for name in SKELETONS[key].classes]
        return list(dict.fromkeys((*self._by_class, *fitting)))

    def keypoint_set(self, class_id: str) -> str:
        """Return the keypoint set for a class."""
        name = self._names.name(class_id)
        if name in self._by_class:
            return self._by_class[name]
        return keypoint_set_of_class(name, self._keypoint_sets) or self._keypoint_sets[0]
