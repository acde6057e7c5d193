"""What is measured, section by section. Each returns a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from vitpose_ros.core.backends import Backend, Decoding, open_backend
from vitpose_ros.core.backends.cuda import CudaCrops
from vitpose_ros.core.backends.onnx import is_installed as has_onnx
from vitpose_ros.core.backends.openvino import is_installed as has_openvino
from vitpose_ros.core.calibration import calibrate
from vitpose_ros.core.checkpoints import load_network, read_checkpoint
from vitpose_ros.core.crops import HostCrops, crop_regions, heatmap_to_image, normalise
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.heatmaps import decode
from vitpose_ros.core.int8 import calibration_path
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Frame, Precision
from vitpose_ros.tools.bench import subjects, timing
from vitpose_ros.tools.bench.tables import Table

PEER = 'transformers'
SIZE = (256, 192)
PRODUCT: dict[Precision, str] = {  # the contender that measures the machine
    'float32': 'product',
    'bfloat16': 'product in bfloat16',
    'float16': 'product in float16',
    'int8': 'product',  # PyTorch has no fast one of integers
}


@dataclass(frozen=True)
class Options:
    """What all sections go by."""

    device: str = 'auto'
    threads: int = 0
    rounds: int = 11
    backends: Sequence[str] = ()  # empty: those that are installed
    precisions: Sequence[str] = ('float32', 'auto')
    batches: Sequence[int] = (1, 4, 8)
    people: Sequence[int] = (1, 2, 4, 8, 16, 32)
    peer: Any = None  # module transformers_peer, or None

    def contenders(self) -> list[tuple[str, str]]:
        """Return backends and precisions to compare."""
        installed = ['torch'] + ['openvino'] * has_openvino() + ['onnx'] * has_onnx()
        chosen = self.backends or installed
        return [
            (name, p) for name in chosen for p in self.precisions if (name, p) != ('torch', 'int8')
        ]

    def open(self, weights: Path | str, backend: str, precision: str) -> Backend:
        """Open a backend on weights, for their first keypoint set.

        For int8, weights without a calibration get one on noise, which is as fast.
        """
        calibration = calibration_path(weights)
        if precision == 'int8' and not calibration.is_file():
            noise = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 3), dtype=np.uint8)
            checkpoint = read_checkpoint(weights)
            [first, *_] = checkpoint.config.keypoint_sets
            calibrate(checkpoint, {first: noise}, 'noise').write(calibration)
        return open_backend(
            load_network(weights),
            backend,
            device=self.device,
            precision=precision,
            threads=self.threads,
            max_batch=max(*self.batches, *self.people),
            calibration=calibration,
        )


def crops(options: Options) -> Table:
    """Measure cutting crops out of a frame, and normalising them, for one person to many."""
    table = Table(
        'crop',
        'Crops: a 1080p frame and boxes to normalised network input, ms a person',
        ('people', 'vitpose_ros', PEER, 'ratio'),
    )
    processor = options.peer.make_processor() if options.peer else None
    cutter, pixels = HostCrops(SIZE), torch.empty(max(options.people), *SIZE, 3)
    for people in options.people:
        frame = subjects.frame(people)

        def ours(frame: Any = frame, people: int = people) -> object:
            cutter.begin(people)
            regions, udp = crop_regions(frame.boxes, SIZE), np.ones(people, bool)
            cutter.cut(frame, regions, udp, np.arange(people))
            return normalise(cutter.batch(), out=pixels)

        contenders: dict[str, Callable[[], object]] = {'ours': ours}
        if processor is not None:
            contenders[PEER] = partial(options.peer.crop, processor, frame)
        times = timing.interleave(contenders, rounds=2 * options.rounds)
        table.add(people, *against_peer(times, people))
    return table


def crops_on_gpu(options: Options) -> Table:
    """Measure the two ways of crops to a GPU, and which one the backend takes."""
    table = Table(
        'crop cuda',
        'Crops on a GPU: a 1080p frame and boxes to crops there, ms a frame',
        ('people', 'cut here, sent', 'sent, cut there', 'taken'),
    )
    device = torch.device('cuda' if options.device == 'auto' else options.device)
    cutter = CudaCrops(SIZE, device)
    for people in options.people:
        frame = subjects.frame(people)
        regions = crop_regions(frame.boxes, SIZE)

        def run(
            cut: Callable[..., None],
            frame: Frame = frame,
            regions: Any = regions,
            people: int = people,
        ) -> None:
            cutter.begin(people)
            cut(frame, regions, np.ones(people, bool), np.arange(people))
            cutter.batch()
            torch.cuda.synchronize(device)

        ways = {'here': cutter.cut_here, 'there': cutter.cut_there, 'taken': cutter.cut}
        contenders = {name: partial(run, cut) for name, cut in ways.items()}
        times = timing.interleave(contenders, rounds=2 * options.rounds)
        table.add(people, *(timing.milliseconds(times, name) for name in ways))
    return table


def decoding(options: Options) -> Table:
    """Measure turning heatmaps into keypoints in the image, for 17 and 133 keypoints."""
    table = Table(
        'decode',
        'Decoding: heatmaps to keypoints in the image, ms a person',
        ('keypoints', 'method', 'people', 'vitpose_ros', PEER, 'ratio'),
    )
    processor = options.peer.make_processor() if options.peer else None
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

            contenders: dict[str, Callable[[], object]] = {'ours': ours}
            if processor is not None:
                contenders[PEER] = partial(options.peer.decode, processor, maps, boxes)
            times = timing.interleave(contenders, rounds=options.rounds)
            method = 'DARK' if udp else 'quarter shift'
            table.add(keypoints, method, people, *against_peer(times, people))
    table.note = f'{PEER} decodes all keypoint sets with DARK.'
    return table


def network(options: Options, name: str, weights: Path | str, peer: Any) -> Table:
    """Measure the network alone, by backend, precision and batch."""
    table = Table(
        f'network {name}',
        f'Network {name}: crops to heatmaps, ms a crop',
        (
            'backend', 'precision', 'batch', 'median', 'p95', 'ratio', 'GFLOP/s',
            'of the matrix product', 'largest difference',
        ),
    )  # fmt: skip
    table.note = (
        f'ratio: how many times as fast as {PEER}, eager, float32. GFLOP/s: of what the folded '
        'network needs. The matrix product: 2048 x 2048, of the same precision, in the same run. '
        f'Largest difference: of the heatmaps, from {PEER} or torch float32; their peak is in the '
        'title.'
    )
    backends: dict[str, Backend] = {}
    for backend, precision in options.contenders():
        opened = options.open(weights, backend, precision)
        if all(opened.description != other.description for other in backends.values()):
            backends[f'{backend} {opened.precision}'] = opened
    work = subjects.flops(weights)
    random = np.random.default_rng(0)
    for batch in options.batches:
        crops = torch.from_numpy(random.integers(0, 256, (batch, *SIZE, 3), dtype=np.uint8))
        pixels = normalise(crops).contiguous()
        contenders: dict[str, Callable[[], object]] = {PRODUCT['float32']: timing.matmul()}
        for backend_ in backends.values():
            if backend_.precision != 'int8':
                product = timing.matmul(getattr(torch, backend_.precision), str(backend_.device))
                contenders[PRODUCT[backend_.precision]] = product
        if peer is not None:
            contenders[PEER] = partial(peer.network, pixels)
        for key, backend_ in backends.items():
            there = crops.to(backend_.device)
            contenders[key] = network_run(backend_, there, [batch])
        with torch.inference_mode():
            times = timing.interleave(contenders, rounds=options.rounds)
            first: Any = peer.network(pixels) if peer is not None else None
            if first is None:
                first = next(iter(backends.values())).heatmaps(crops, [batch])[0].cpu()
        peak = float(first.abs().max())
        if peer is not None:
            table.add(PEER, 'float32', batch, *row(times, PEER, 'float32', batch, work, None))
        for key, backend_ in backends.items():
            maps = backend_.heatmaps(crops.to(backend_.device), [batch])[0].cpu()
            difference = float((maps - first).abs().max())
            cells = row(times, key, backend_.precision, batch, work, difference)
            table.add(backend_.description.split(' ')[0], backend_.precision, batch, *cells)
    rates = ', '.join(
        f'{precision} {timing.matmul_rate(times, name) / 1e9:.0f} GFLOP/s'
        for precision, name in PRODUCT.items()
        if name in times and precision != 'int8'
    )
    table.title += f' (the matrix product: {rates}; peak of the heatmaps: {peak:.2g})'
    return table


def network_run(
    backend: Backend, crops: torch.Tensor, counts: Sequence[int]
) -> Callable[[], object]:
    """Return a run of a network alone; on CUDA with decoding, which its graphs hold, too."""
    if backend.device.type == 'cpu':
        return partial(backend.heatmaps, crops, counts)
    backend.prepare(Decoding(), len(crops))
    return partial(backend.keypoints, crops, counts, Decoding())


def row(
    times: timing.Times,
    key: str,
    precision: Precision,
    batch: int,
    work: float,
    difference: float | None,
) -> tuple[float | None, ...]:
    """Return the figures of a contender in the network's table."""
    rate = work * batch / median(times[key])
    product_flops = 2 * timing.MATMUL**3
    share = timing.ratio(times, PRODUCT[precision], key) * work * batch / product_flops
    return (
        timing.milliseconds(times, key) / batch,
        1e3 * timing.percentile(times[key], 95) / batch,
        timing.ratio(times, PEER, key) if PEER in times else None,
        rate / 1e9,
        share,
        difference,
    )


def end_to_end(options: Options, name: str, weights: Path | str, peer: Any) -> Table:
    """Measure a frame and boxes to keypoints."""
    people = 8
    table = Table(
        f'end to end {name}',
        f'End to end, {name}: a 1080p frame with {people} boxes to keypoints, ms a frame',
        ('backend', 'precision', 'median', 'p95', 'ratio'),
    )
    frame = subjects.frame(people)
    contenders: dict[str, Callable[[], object]] = {}
    if peer is not None:
        contenders[PEER] = partial(peer.predict, frame)
    for backend, precision in options.contenders():
        opened = options.open(weights, backend, precision)
        key = f'{backend} {opened.precision}'
        if key not in contenders:
            contenders[key] = partial(PoseEstimator(opened, max_batch=32).predict, [frame])
    with torch.inference_mode():
        times = timing.interleave(contenders, rounds=options.rounds)
    for key in contenders:
        backend, _, precision = key.partition(' ')
        table.add(
            backend,
            precision or 'float32',
            timing.milliseconds(times, key),
            1e3 * timing.percentile(times[key], 95),
            timing.ratio(times, PEER, key) if peer is not None else None,
        )
    return table


def people(options: Options, name: str, weights: Path | str) -> Table:
    """Measure what a person costs in frames with one to many."""
    table = Table(
        f'people {name}',
        f'Cost of a person, {name}: a 1080p frame and boxes to keypoints, ms a person',
        ('people', 'all', 'crop', 'network', 'decode'),
    )
    opened = options.open(weights, 'auto', 'auto')
    estimator = PoseEstimator(opened, max_batch=max(options.people))
    stages: dict[int, list[tuple[float, float, float]]] = {n: [] for n in options.people}

    def run(count: int) -> None:
        [outcome] = estimator.predict_each([frames[count]])
        if outcome.error is not None:
            raise outcome.error
        stages[count].append((outcome.crop_s, outcome.network_s, outcome.decode_s))

    frames = {count: subjects.frame(count) for count in options.people}
    contenders = {str(count): partial(run, count) for count in options.people}
    times = timing.interleave(contenders, rounds=options.rounds, budget_s=90)
    for count in options.people:
        parts = np.median(stages[count], axis=0) * 1e3 / count
        table.add(count, timing.milliseconds(times, str(count)) / count, *map(float, parts))
    table.note = opened.description
    return table


def experts(options: Options, name: str, weights: Path | str) -> Table:
    """Measure a batch spread over six keypoint sets, against one of a single set."""
    table = Table(
        f'experts {name}',
        f'Keypoint sets, {name}: a batch spread over all six, against one of COCO alone',
        ('backend', 'batch', 'COCO', 'six sets', 'ratio'),
    )
    table.note = 'ms a crop, float32. Other heads have other sizes: WholeBody has 133 keypoints.'
    sets = list(SKELETONS)
    for backend in dict.fromkeys(name for name, _ in options.contenders()):
        mixed = open_backend(
            load_network(weights, sets),
            backend,
            device=options.device,
            precision='float32',
            threads=options.threads,
        )
        plain = options.open(weights, backend, 'float32')
        for batch in (6, 24):
            crops = torch.zeros(batch, *SIZE, 3, dtype=torch.uint8).to(plain.device)
            times = timing.interleave(
                {
                    'one': network_run(plain, crops, [batch]),
                    'six': network_run(mixed, crops, [batch // 6] * 6),
                },
                rounds=options.rounds,
            )
            one, six = (timing.milliseconds(times, key) / batch for key in ('one', 'six'))
            table.add(backend, batch, one, six, timing.ratio(times, 'six', 'one'))
    return table


def accuracy(_: Options) -> Table:
    """Measure how far decoded keypoints lie from the true ones, by distance from the border."""
    table = Table(
        'accuracy',
        'Decoding of Gaussians: error in heatmap cells, median / 95th percentile',
        ('noise', 'distance from the border', 'highest cell', 'reference', 'hybrid'),
    )
    table.note = (
        'Peaks of 0.8, two cells wide, where they are cut at the border, too; noise: standard '
        'deviation. A cell is 4 pixels of the crop.'
    )
    generator = torch.Generator().manual_seed(0)
    for noise in (0.0, 0.004, 0.02, 0.05):
        for low, high, region in ((0, 2, 'less than 2 cells'), (2, 5, '2 to 5'), (6, 99, '6 up')):
            centres = torch.rand(400, 17, 2, generator=generator) * torch.tensor([47.0, 63.0])
            edge = torch.minimum(centres, torch.tensor([47.0, 63.0]) - centres).amin(dim=2)
            maps = subjects.gaussians(centres)
            maps += noise * torch.randn(maps.shape, generator=generator)
            best = maps.flatten(2).argmax(dim=2)
            found = {
                'highest': torch.stack((best % 48, best // 48), dim=2),
                'reference': decode(maps, udp=True)[0],
                'hybrid': decode(maps, udp=True, hybrid=True)[0],
            }
            chosen = (edge >= low) & (edge < high)
            cells = []
            for points in found.values():
                error = (points - centres).norm(dim=2)[chosen].numpy()
                cells.append(f'{np.median(error):.3f} / {np.percentile(error, 95):.3f}')
            table.add(noise, region, *cells)
    return table


def against_peer(times: timing.Times, people: int) -> tuple[float | None, ...]:
    """Return our time, the peer's and their ratio, a person."""
    ours = timing.milliseconds(times, 'ours') / people
    if PEER not in times:
        return ours, None, None
    return (
        ours,
        timing.milliseconds(times, PEER) / people,
        timing.ratio(times, PEER, 'ours'),
    )
