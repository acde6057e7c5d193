"""The network alone: how each backend runs it, and how fast."""

import gc
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitpose_ros.core.geometry.crops import Cuts, crop_regions, normalise
from vitpose_ros.core.runtime import Backend, Decoding
from vitpose_ros.core.runtime.cuda import CudaBackend
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.tools.bench import product, subjects, timing
from vitpose_ros.tools.bench.options import PEER, BenchOptions
from vitpose_ros.tools.bench.subjects import Model
from vitpose_ros.tools.bench.tables import Table

EXPERT_BATCHES = (6, 24)


def backends(options: BenchOptions, model: Model) -> dict[str, Backend]:
    """Open all contenders and say how each runs; those that are the same run once."""
    found: dict[str, Backend] = {}
    with options.results.table(
        f'backends {model.name}',
        f'Backends, {model.name}: how each runs the network, ready for {options.ready} crops',
        (
            'backend', 'precision', 'load s', 'prepare s', 'weights MB', 'beyond weights MB',
            'runs on', 'warning',
        ),
    ) as table:  # fmt: skip
        table.note = 'Beyond weights: memory of the GPU, as PyTorch reserves it.'
        for name, precision in options.contenders():
            with table.attempt(f'{name} {precision}'):
                begin, empty = time.perf_counter(), reserved_mb(options)
                opened = options.open(model, name, precision)
                loaded = time.perf_counter()
                if f'{name} {opened.precision}' in found or any(
                    opened.description == other.description for other in found.values()
                ):
                    continue
                opened.prepare(Decoding(), options.ready)
                prepared = time.perf_counter()
                found[f'{name} {opened.precision}'] = opened
                weights = subjects.weights_mb(opened.config, opened.precision)
                reserved = reserved_mb(options)
                beyond = None
                if empty is not None and reserved is not None:
                    beyond = reserved - empty - weights
                seconds = loaded - begin, prepared - loaded
                how = opened.description, opened.warning or None
                table.add(name, opened.precision, *seconds, weights, beyond, *how)
    tuned = {key: backend for key, backend in found.items() if isinstance(backend, CudaBackend)}
    if tuned:
        with options.results.table(
            f'ways {model.name}',
            f'Ways, {model.name}: what became of each faster way on CUDA',
            ('backend', 'precision', 'way', 'what became of it'),
        ) as table:
            for key, backend in tuned.items():
                for way, taken in backend.ways.items():
                    table.add(*key.split(' '), way, taken)
    return found


def reserved_mb(options: BenchOptions) -> float | None:
    """Return the memory of the GPU that is in use; None where there is none."""
    if options.where.type != 'cuda':
        return None
    gc.collect()
    torch.cuda.synchronize(options.where)
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(options.where) / 1e6


def network(options: BenchOptions, model: Model, peer: Any) -> None:
    """Measure the network alone, by backend, precision and batch."""
    opened = backends(options, model)
    if not opened:
        return
    work = subjects.flops(next(iter(opened.values())).config)
    with options.results.table(
        f'network {model.name}',
        f'Network {model.name}: crops to heatmaps (on a GPU to keypoints), ms a crop',
        (
            'backend', 'precision', 'batch', 'median', 'p95', 'ratio', 'GFLOP/s',
            'of the matrix product', 'largest difference', 'crops/s', 'ms a pass on the device',
        ),
    ) as table:  # fmt: skip
        table.note = (
            f'ratio: how many times as fast as {PEER}, eager, in its first row. GFLOP/s: of what '
            'the folded network needs, on a GPU in the time on the device, if there is one: what '
            'waits for the device within a pass has none. The matrix product: of the same '
            'precision, on the same device, by PyTorch; of int8 by the runtime itself. Largest '
            'difference: of the heatmaps, from those of the first row of a batch, in parts of '
            'their peak.'
        )
        for key, backend in list(opened.items()):
            try:
                backend.prepare(Decoding(), max(options.batches))
            except Exception as error:
                table.fail(key, error)
                del opened[key]
        for batch in options.batches:
            with table.attempt(f'batch {batch}'):
                Bout(table, opened, peer, batch, work).run(options.rounds)


class Bout:
    """A batch that goes through all backends, and the peer, by turns."""

    def __init__(
        self, table: Table, backends: dict[str, Backend], peer: Any, batch: int, work: float
    ) -> None:
        """Take what runs, and the operations of a crop."""
        self._table, self._backends, self._peer = table, backends, peer
        self._batch, self._work = batch, work
        some = next(iter(backends.values()))
        self._crops = subjects.crops(batch, some.config.image_size)
        self._contenders: dict[str, timing.Run] = {}
        self._heatmaps: dict[str, Callable[[], Tensor]] = {}
        if peer is not None:
            pixels = normalise(self._crops).contiguous().to(peer.device, peer.dtype)
            self._contenders[PEER] = timing.synchronous(partial(peer.network, pixels), peer.device)
            self._heatmaps[PEER] = partial(peer.network, pixels)
        for key, backend in backends.items():
            there = self._crops.to(backend.device)
            self._contenders[key] = network_run(backend, there, [batch])
            self._heatmaps[key] = partial(_heatmaps, backend, there)

    @torch.inference_mode()
    def run(self, rounds: int) -> None:
        """Measure, and add a row for each."""
        by_turns = dict(self._contenders)
        for key, backend in self._backends.items():
            # On a processor by turns, too: it is not equally fast all the time.
            here = backend.device.type == 'cpu' and ' on cpu' in backend.description
            by = product.by(backend.precision, key.split(' ')[0])
            if here and by:
                with self._table.attempt(product.name(backend.precision, by)):
                    run = product.run(backend.precision, backend.device, by)
                    by_turns[product.name(backend.precision, by)] = run
        times = timing.interleave(by_turns, rounds=rounds, failed=self._table.fail)
        first: Tensor | None = None
        for key in self._contenders:
            if key not in times:
                continue
            with self._table.attempt(f'{key}, batch {self._batch}'):
                maps = self._heatmaps[key]().float().cpu()
                difference = None
                if first is None:
                    first = maps
                else:
                    difference = float((maps - first).abs().max() / first.abs().max())
                self._add(key, times, difference)

    def _add(self, key: str, times: timing.Times, difference: float | None) -> None:
        """Add the row of a contender."""
        runs = self._peer if key == PEER else self._backends[key]
        work, seconds = self._work * self._batch, median(times[key])
        on_device: float | None = None
        share: float | None = None
        rate, by = work / seconds, product.by(runs.precision, key.split(' ')[0])
        if runs.device.type == 'cuda':
            queue = without_waiting(self._contenders[key])
            on_device = queue and timing.on_device_ms(queue, runs.device)
            if on_device:
                rate = 1e3 * work / on_device
            if runs.precision in product.FLOATS:
                share = rate / product.rate(runs.precision, runs.device)
        elif by:
            by_turns = timing.ratio(times, product.name(runs.precision, by), key)
            share = by_turns and by_turns * work / product.flops(runs.device)
        self._table.add(
            key.split(' ')[0],
            runs.precision,
            self._batch,
            1e3 * seconds / self._batch,
            1e3 * timing.percentile(times[key], 95) / self._batch,
            timing.ratio(times, PEER, key),
            rate / 1e9,
            share,
            difference,
            self._batch / seconds,
            on_device,
        )


def _heatmaps(backend: Backend, crops: Tensor) -> Tensor:
    [heatmaps] = backend.heatmaps(crops, [len(crops)])
    return heatmaps


def network_run(backend: Backend, crops: Tensor, counts: Sequence[int]) -> timing.Run:
    """Return a run of a network alone.

    On a GPU with decoding, which is part of CUDA's passes; there on what its crops leave.
    """
    if not isinstance(backend, CudaBackend):
        if backend.device.type == 'cpu':
            return partial(backend.heatmaps, crops, counts)
        return partial(backend.keypoints, crops, counts, Decoding())
    cutter, people = backend.crops(), sum(counts)
    cutter.begin(people)
    frame = subjects.frame(people)
    regions = crop_regions(frame.boxes, backend.config.image_size)
    cutter.cut(frame, Cuts(regions, np.ones(people, bool), np.arange(people)))
    return partial(backend.keypoints, cutter.batch(), counts, Decoding())


def experts(options: BenchOptions, model: Model) -> None:
    """Measure a batch spread over six keypoint sets, against one of a single set.

    model: of a size, with random weights, as only those have all sets.
    """
    with options.results.table(
        f'experts {model.name}',
        f'Keypoint sets, {model.name}: a batch over six, against one of COCO alone, ms a crop',
        ('backend', 'precision', 'batch', 'COCO', 'six sets', 'ratio'),
    ) as table:
        table.note = 'Other heads have other sizes: WholeBody has 133 keypoints.'
        seen = set()
        for name, precision in options.contenders():
            with table.attempt(f'{name} {precision}'):
                plain = options.open(model, name, precision)
                if plain.description in seen:
                    continue
                seen.add(plain.description)
                mixed = options.open(model, name, precision, list(SKELETONS))
                for backend in (plain, mixed):
                    backend.prepare(Decoding(), max(EXPERT_BATCHES))
                for batch in EXPERT_BATCHES:
                    crops = subjects.crops(batch, plain.config.image_size, plain.device)
                    times = timing.interleave(
                        {
                            'one': network_run(plain, crops, [batch]),
                            'six': network_run(mixed, crops, [batch // 6] * 6),
                        },
                        rounds=options.rounds,
                    )
                    one, six = (timing.milliseconds(times, key) / batch for key in ('one', 'six'))
                    ratio = timing.ratio(times, 'six', 'one')
                    table.add(name, plain.precision, batch, one, six, ratio)


def without_waiting(run: timing.Run) -> timing.Run | None:
    """Return what a run of network_run queues on a GPU; None of those that wait for it."""
    backend = getattr(run.func, '__self__', None) if isinstance(run, partial) else None
    if isinstance(run, partial) and isinstance(backend, CudaBackend):
        return partial(backend.queue, *run.args[:2])
    return None
