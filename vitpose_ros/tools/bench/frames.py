"""A frame and boxes to keypoints, as a user has it."""

from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.tools.bench import subjects, timing
from vitpose_ros.tools.bench.options import PEER, BenchOptions
from vitpose_ros.tools.bench.subjects import Model

PEOPLE = 8  # in a frame on a processor, where the peer would take minutes for more
BUSY_RUNS = 5  # of what tells how many cores are busy


def end_to_end(options: BenchOptions, model: Model, peer: Any) -> None:
    """Measure a frame and boxes to keypoints: on a processor eight, on a GPU one to many."""
    with options.results.table(
        f'end to end {model.name}',
        f'End to end, {model.name}: a 1080p frame and boxes to keypoints, ms a frame',
        ('backend', 'precision', 'people', 'median', 'p95', 'ratio', 'cores busy'),
    ) as table:
        table.note = f'ratio: how many times as fast as {PEER}.'
        estimators: dict[str, PoseEstimator] = {}
        for name, precision in options.contenders():
            with table.attempt(f'{name} {precision}'):
                opened = options.open(model, name, precision)
                key = f'{name} {opened.precision}'
                if key not in estimators:
                    estimators[key] = PoseEstimator(opened, max_batch=32)
        for people in (PEOPLE,) if options.cuda is None else options.people:
            frame = subjects.frame(people)
            contenders: dict[str, timing.Run] = {}
            if peer is not None:
                contenders[f'{PEER} {peer.precision}'] = partial(peer.predict, frame)
            for key, estimator in estimators.items():
                contenders[key] = partial(estimator.predict, [frame])
            with torch.inference_mode():
                times = timing.interleave(contenders, rounds=options.rounds, failed=table.fail)
                for key, seconds in times.items():
                    theirs = timing.ratio(times, f'{PEER} {getattr(peer, "precision", "")}', key)
                    table.add(
                        *key.split(' '),
                        people,
                        1e3 * median(seconds),
                        1e3 * timing.percentile(seconds, 95),
                        theirs,
                        timing.cores_busy(contenders[key], BUSY_RUNS),
                    )


def people(options: BenchOptions, model: Model) -> None:
    """Measure what a person costs in frames with one to many."""
    with options.results.table(
        f'people {model.name}',
        f'Cost of a person, {model.name}: a 1080p frame and boxes to keypoints, ms a person',
        ('people', 'all', 'crop', 'network', 'decode'),
    ) as table:
        opened = options.open(model, 'auto', 'auto')
        table.note = opened.description
        estimator = PoseEstimator(opened, max_batch=max(options.people))
        stages: dict[int, list[tuple[float, float, float]]] = {n: [] for n in options.people}

        def run(count: int) -> None:
            [outcome] = estimator.predict_each([frames[count]])
            if outcome.error is not None:
                raise outcome.error
            stages[count].append((outcome.crop_s, outcome.network_s, outcome.decode_s))

        frames = {count: subjects.frame(count) for count in options.people}
        contenders = {str(count): partial(run, count) for count in options.people}
        times = timing.interleave(
            contenders, rounds=options.rounds, budget_s=90, failed=table.fail
        )
        for count in options.people:
            if str(count) in times:
                parts = np.median(stages[count], axis=0) * 1e3 / count
                all_ms = timing.milliseconds(times, str(count)) / count
                table.add(count, all_ms, *map(float, parts))
