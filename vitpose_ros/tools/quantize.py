"""The calibration of a network for precision int8, on crops out of a user's images."""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.crops import Cuts, HostCrops, crop_regions
from vitpose_ros.core.jpeg import read_picture
from vitpose_ros.core.model.config import PUBLIC_UDP
from vitpose_ros.core.runtime.calibration import calibrate
from vitpose_ros.core.runtime.int8 import calibration_path, read_calibration
from vitpose_ros.core.types import Frame, box_fault
from vitpose_ros.core.weights import (
    EMBEDDED_MODEL,
    CheckpointError,
    models_command,
    read_checkpoint,
)
from vitpose_ros.tools import command
from vitpose_ros.tools.coco_json import DatasetError, check_entry, read_annotations
from vitpose_ros.tools.media import PICTURES

LOG = logging.getLogger(__name__)

FEW, MOST = 64, 256  # crops


def quantize(
    model: str,
    images: Path,
    out: Path | None = None,
    *,
    boxes: Path | None = None,
    keypoint_sets: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    most: int = MOST,
) -> str:
    """Calibrate weights on the images of a folder; returns a line about what was written.

    out: a .json file; beside the weights, where it is looked for, if left out. keypoint_sets and
    image_size (height, width): those of the weights if left out. The rest as in crops_of_images.
    Raises CheckpointError, ToolError.
    """
    if out is None and model == EMBEDDED_MODEL:
        raise CheckpointError(
            f"'{EMBEDDED_MODEL}' comes with a calibration that others use, too; calibrate a copy: "
            f'{models_command("convert", EMBEDDED_MODEL, "OUT.safetensors")}, then '
            f'{models_command("quantize", "OUT.safetensors", str(images))}'
        )
    place = out or calibration_path(model)
    command.check_out(place, '.json')
    checkpoint = read_checkpoint(model, keypoint_sets)
    checkpoint.select(keypoint_sets)  # which tells of those that it lacks
    if checkpoint.config.bottom_up:
        raise CheckpointError(
            f"weights '{model}' are of a bottom-up network, and int8 is for top-down ones alone"
        )
    sets = keypoint_sets or checkpoint.config.keypoint_sets
    size = image_size or checkpoint.config.image_size
    crops = crops_of_images(images, boxes, sets, size, most, udp=checkpoint.config.udp)
    calibration = calibrate(checkpoint, crops, f'images of {images}', image_size=size)
    with command.written(place, '.json') as unfinished:
        calibration.write(unfinished)
    count = max(map(len, crops.values()))
    if count < FEW:
        LOG.warning(
            'warning: %d crops tell little of what the network will see; give %d or more',
            *(count, FEW),
        )
    return f"'{place}' calibrates {', '.join(crops)} for precision int8, on {count} crops"


def about_calibration(model: str) -> str:
    """Return how the calibration beside some weights was made."""
    path = calibration_path(model)
    if not path.is_file():
        return f'not calibrated; {models_command("quantize", "MODEL", "IMAGES")}'
    made = read_calibration(path).made
    crops = ', '.join(f'{name} {count}' for name, count in made['crops'].items())
    return f'calibrated on crops ({crops}) of {made["of"]}, by {made["tool"]}, {made["method"]}'


def crops_of_images(
    folder: Path,
    boxes: Path | None,
    keypoint_sets: Sequence[str],
    size: tuple[int, int],
    most: int = MOST,
    *,
    udp: Collection[str] = PUBLIC_UDP,
) -> dict[str, NDArray[np.uint8]]:
    """Cut crops for each keypoint set out of the images of a folder, (n, *size, 3) uint8 RGB.

    boxes: a COCO annotation file; without it an image is one subject. udp: the sets whose crops
    are unbiased. Where there are more than most, those taken are spread over all. What is not
    usable is left out, and logged. Raises DatasetError for what is no such file, CheckpointError
    where nothing is left.
    """
    subjects = list(_subjects(folder, boxes))
    if not subjects:
        raise CheckpointError(f"'{boxes or folder}': no {'boxes' if boxes else 'images'} there")
    chosen = np.unique(np.linspace(0, len(subjects) - 1, min(most, len(subjects))).round())
    crops: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in keypoint_sets}
    cutter = HostCrops(size)
    for index in chosen.astype(int):
        path, box = subjects[index]
        image = read_picture(path)
        if image is None:
            LOG.warning("left out: '%s': no image there that OpenCV reads", path)
            continue
        height, width = image.shape[:2]
        corners = np.array([box or (0, 0, width, height)], np.float32)
        if fault := box_fault(corners[0], width, height):
            LOG.warning("left out: '%s': box %s of '%s' %s", boxes, box, path, fault)
            continue
        for name in keypoint_sets:
            cutter.begin(1)
            cutter.cut(
                Frame(image, corners, 'bgr'),
                Cuts(crop_regions(corners, size), np.array([name in udp]), np.array([0])),
            )
            crops[name].append(cutter.batch()[0].numpy().copy())
    if not all(crops.values()):
        raise CheckpointError(f"'{boxes or folder}': nothing is left to calibrate with")
    return {name: np.stack(own) for name, own in crops.items()}


def _subjects(
    folder: Path, boxes: Path | None
) -> Iterator[tuple[Path, tuple[float, float, float, float] | None]]:
    """Yield images, and boxes x_min, y_min, x_max, y_max; None: the whole image."""
    if boxes is None:
        if not folder.is_dir():
            raise CheckpointError(f"'{folder}': no such folder")
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in PICTURES and path.is_file():
                yield path, None
        return
    content = read_annotations(boxes)
    files = {entry['id']: entry['file_name'] for entry in content['images']}
    for entry in content['annotations']:
        check_entry(f'{boxes}: an annotation', entry, ('image_id', 'bbox'))
        if entry['image_id'] not in files:
            raise DatasetError(f'{boxes}: no image has the id {entry["image_id"]!r} of a box')
        x, y, width, height = entry['bbox']
        if width > 0 and height > 0:
            yield folder / files[entry['image_id']], (x, y, x + width, y + height)
