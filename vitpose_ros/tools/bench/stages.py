"""What comes before the network and after it, on the processor: crops and decoding."""

from functools import partial
from typing import Any

import numpy as np
import torch

from vitpose_ros.core.geometry.crops import (
    Cuts,
    HostCrops,
    crop_regions,
    heatmap_to_image,
    normalise,
)
from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.tools.bench import subjects, timing
from vitpose_ros.tools.bench.options import PEER, SIZE, BenchOptions


def crops(options: BenchOptions) -> None:
    """Measure cutting crops out of a frame, and normalising them, for one person to many."""
    processor = options.peer.make_processor() if options.peer else None
    cutter, pixels = HostCrops(SIZE), torch.empty(max(options.people), *SIZE, 3)
    with options.results.table(
        'crop',
        'Crops: a 1080p frame and boxes to normalised network input, ms a person',
        ('people', 'vitpose_ros', PEER, 'ratio'),
    ) as table:
        for people in options.people:
            frame = subjects.frame(people)

            def ours(frame: Any = frame, people: int = people) -> object:
                cutter.begin(people)
                regions, udp = crop_regions(frame.boxes, SIZE), np.ones(people, bool)
                cutter.cut(frame, Cuts(regions, udp, np.arange(people)))
                return normalise(cutter.batch(), out=pixels)

            contenders: dict[str, timing.Run] = {'ours': ours}
            if processor is not None:
                contenders[PEER] = partial(options.peer.crop, processor, frame)
            times = timing.interleave(contenders, rounds=2 * options.rounds, failed=table.fail)
            table.add(people, *against_peer(times, people))


def decoding(options: BenchOptions) -> None:
    """Measure turning heatmaps into keypoints in the image, for 17 and 133 keypoints."""
    processor = options.peer.make_processor() if options.peer else None
    with options.results.table(
        'decode',
        'Decoding: heatmaps to keypoints in the image, ms a person',
        ('keypoints', 'method', 'people', 'vitpose_ros', PEER, 'ratio'),
    ) as table:
        table.note = f'{PEER} decodes all keypoint sets with DARK.'
        for keypoints, udp in ((17, True), (133, True), (133, False)):
            for people in (1, 8, 32):
                maps, boxes = subjects.heatmaps(people, keypoints), subjects.frame(people).boxes
                regions, conventions = crop_regions(boxes, SIZE), np.full(people, udp)

                def ours(
                    maps: torch.Tensor = maps,
                    regions: Any = regions,  # of the crops, known since
                    conventions: Any = conventions,
                    udp: bool = udp,
                ) -> object:
                    points, _ = decode(maps, udp=udp)
                    return heatmap_to_image(points.numpy(), regions, (64, 48), conventions)

                contenders: dict[str, timing.Run] = {'ours': ours}
                if processor is not None:
                    contenders[PEER] = partial(options.peer.decode, processor, maps, boxes)
                times = timing.interleave(contenders, rounds=options.rounds, failed=table.fail)
                method = 'DARK' if udp else 'quarter shift'
                table.add(keypoints, method, people, *against_peer(times, people))


def against_peer(times: timing.Times, people: int) -> tuple[float | None, ...]:
    """Return our time, the peer's and their ratio, a person."""
    ours = timing.milliseconds(times, 'ours') / people
    if PEER not in times:
        return ours, None, None
    return ours, timing.milliseconds(times, PEER) / people, timing.ratio(times, PEER, 'ours')
