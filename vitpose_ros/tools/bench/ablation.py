"""What each faster way on CUDA gains: all ways taken, by turns with all but one."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import torch

from vitpose_ros.core.runtime import Decoding
from vitpose_ros.core.runtime.cuda import CudaBackend, Tuning
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.tools.bench import on_gpu, subjects, timing
from vitpose_ros.tools.bench.networks import network_run, without_waiting
from vitpose_ros.tools.bench.options import BenchOptions
from vitpose_ros.tools.bench.subjects import Model
from vitpose_ros.tools.bench.tables import Table


def ablate(options: BenchOptions, model: Model, device: torch.device) -> None:
    """Measure passes, and the crops of a frame, with each of the ways switched off alone."""
    with options.results.table(
        f'ablation {model.name}',
        f'Ablation, {model.name}: each way on and off, ms',
        ('way', 'of', 'batch', 'on', 'off', 'off / on', 'device: on', 'device: off', 'taken'),
    ) as table:
        table.note = (
            'of: a pass from crops on the device to keypoints on the host, of one keypoint set or '
            'spread over six; or the crops of a 1080p frame, or of its JPEG file, to the device. '
            'device: a pass there alone, without what launching it takes.'
        )
        ways = [field.name for field in fields(Tuning)]
        told = _ablate(table, options, model, device, ['coco'], ways)
        if model.weights is None:
            # What one keypoint set has no use for.
            left = [way for way in ways if way not in told]
            _ablate(table, options, model, device, list(SKELETONS), left)


def _ablate(
    table: Table,
    options: BenchOptions,
    model: Model,
    device: torch.device,
    sets: Sequence[str],
    ways: Sequence[str],
) -> dict[str, str]:
    """Add the rows of some ways, for a network of some keypoint sets; return what became of all.

    A way that is not taken is not measured.
    """

    def opened(tuning: Tuning) -> CudaBackend:
        network = model.load(sets, device)
        precision = 'auto' if device.type == 'cuda' else 'float32'
        backend = CudaBackend(network, device=str(device), precision=precision, tuning=tuning)
        backend.prepare(Decoding(), max(options.batches))
        return backend

    whole = opened(Tuning())
    for way in ways:
        taken = whole.ways.get(way)
        if taken is None:
            continue
        if taken.startswith('not taken'):
            table.add(way, None, None, None, None, None, None, None, taken)
            continue
        with table.attempt(f'{way}, {len(sets)} sets'):
            less = opened(Tuning(**{way: False}))
            runs = _jpeg_runs if way == 'gpu_jpeg' else _runs
            both = zip(runs(whole, options.batches), runs(less, options.batches), strict=True)
            for (of, batch, on), (_, _, off) in both:
                times = timing.interleave({'on': on, 'off': off}, rounds=options.rounds)
                there: list[float | None] = [None, None]
                if of not in ('crops', 'JPEG'):
                    queues = [without_waiting(run) for run in (on, off)]
                    there = [queue and timing.on_device_ms(queue, device) for queue in queues]
                table.add(
                    way,
                    of,
                    batch,
                    timing.milliseconds(times, 'on'),
                    timing.milliseconds(times, 'off'),
                    timing.ratio(times, 'off', 'on'),
                    *there,
                    taken,
                )
    return whole.ways


def _runs(backend: CudaBackend, batches: Sequence[int]) -> Iterator[tuple[str, int, timing.Run]]:
    """Yield what is measured of a backend: its name, how many crops, and the run."""
    sets = len(backend.config.keypoint_sets)
    cutter = backend.crops()
    for batch in batches:
        crops = subjects.crops(batch, backend.config.image_size, backend.device)
        counts = [batch // sets] * (sets - 1)
        counts.append(batch - sum(counts))
        yield ('pass' if sets == 1 else f'{sets} sets'), batch, network_run(backend, crops, counts)
        if sets == 1:
            frame = subjects.frame(batch)
            yield 'crops', batch, on_gpu.crops_run(cutter, cutter.cut, frame, backend.device)


def _jpeg_runs(
    backend: CudaBackend, batches: Sequence[int]
) -> Iterator[tuple[str, int, timing.Run]]:
    """Yield what is measured where JPEG files come."""
    cutter = backend.crops()
    for batch in batches:
        yield 'JPEG', batch, on_gpu.jpeg_run(cutter, subjects.frame(batch), backend.device)
