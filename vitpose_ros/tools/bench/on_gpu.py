"""What comes before the network and after it on a GPU: crops and decoding there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch

from vitpose_ros.core.geometry.crops import Cuts, crop_regions
from vitpose_ros.core.jpeg import read_jpeg
from vitpose_ros.core.model.config import PUBLIC_UDP
from vitpose_ros.core.runtime import Decoding
from vitpose_ros.core.runtime.base import decode_set
from vitpose_ros.core.runtime.cuda import CudaCrops
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.tools.bench import subjects, timing
from vitpose_ros.tools.bench.options import SIZE, BenchOptions

RESOLUTIONS = ((640, 480), (1280, 720), (1920, 1080), (3840, 2160))  # width, height
DECODED = ('coco', 'wholebody')  # 17 keypoints with DARK, 133 with a quarter shift


def crops(options: BenchOptions, device: torch.device) -> None:
    """Measure the two ways of crops to a GPU, and which one the backend takes."""
    with options.results.table(
        'crop cuda',
        'Crops on a GPU: a frame and boxes to crops there, ms a frame',
        ('frame', 'people', 'cut here, sent', 'sent, cut there', 'taken', 'taken / best'),
    ) as table:
        cutter = CudaCrops(SIZE, device)
        ways = {'here': cutter.cut_here, 'there': cutter.cut_there, 'taken': cutter.cut}
        for width, height in RESOLUTIONS:
            for people in options.people:
                frame = subjects.frame(people, width, height)
                contenders = {
                    name: crops_run(cutter, cut, frame, device) for name, cut in ways.items()
                }
                with table.attempt(f'{width} x {height}, {people} people'):
                    times = timing.interleave(contenders, rounds=2 * options.rounds)
                    here, there, taken = (timing.milliseconds(times, name) for name in ways)
                    loss = taken / min(here, there)
                    table.add(f'{width} x {height}', people, here, there, taken, loss)


def crops_run(
    cutter: Any, cut: Callable[..., None], frame: Any, device: torch.device
) -> timing.Run:
    """Return a run that cuts the crops of a frame, and ends when they are on the device."""
    people = len(frame.boxes)
    regions, udp = crop_regions(frame.boxes, SIZE), np.ones(people, bool)

    def run() -> None:
        cutter.begin(people)
        cut(frame, Cuts(regions, udp, np.arange(people)))
        cutter.batch()

    return timing.synchronous(run, device)


def jpeg_run(cutter: Any, frame: Any, device: torch.device) -> timing.Run:
    """Return such a run for the same frame as a JPEG file, which is decoded each time."""
    _, file = cv2.imencode('.jpg', frame.pixels)

    def cut(_: Any, cuts: Cuts) -> None:
        cutter.cut(replace(frame, image=read_jpeg(file)), cuts)

    return crops_run(cutter, cut, frame, device)


def decoding(options: BenchOptions, device: torch.device) -> None:
    """Measure turning heatmaps on a GPU into keypoints on the host: decoded there, or here."""
    with options.results.table(
        'decode cuda',
        'Decoding on a GPU: heatmaps there to keypoints here, ms a batch',
        ('keypoint set', 'people', 'decoded there', 'sent, decoded here', 'ratio'),
    ) as table:
        table.note = 'Kernel by kernel; within a pass decoding is part of its graph.'
        for name in DECODED:
            skeleton, udp = SKELETONS[name], name in PUBLIC_UDP
            for people in (1, 8, 32):
                maps = subjects.heatmaps(people, len(skeleton)).to(device)

                def there(
                    maps: torch.Tensor = maps, skeleton: Any = skeleton, udp: bool = udp
                ) -> object:
                    return decode_set(maps, None, skeleton, Decoding(), udp=udp)[0].cpu()

                def here(
                    maps: torch.Tensor = maps, skeleton: Any = skeleton, udp: bool = udp
                ) -> object:
                    return decode_set(maps.cpu(), None, skeleton, Decoding(), udp=udp)[0]

                with table.attempt(f'{name}, {people} people'), torch.inference_mode():
                    contenders: dict[str, timing.Run] = {'there': there, 'here': here}
                    times = timing.interleave(contenders, rounds=options.rounds)
                    both = (timing.milliseconds(times, key) for key in contenders)
                    table.add(name, people, *both, timing.ratio(times, 'here', 'there'))
