"""Measure what it costs that the subjects of a batch belong to different keypoint sets.

Compares, on random weights: a plain network with one keypoint set, and a network of the same size
with experts and heads for all six, whose batch holds the same number of subjects, spread over the
sets. The two take turns, so that noise hits both alike; printed are medians and the median of the
ratios of neighbours.

    python dev/bench_mixed_sets.py [--sizes small base] [--batches 6 12 24] [--rounds 15]
"""

import argparse
import time
from statistics import median

import torch

from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.vit import SIZES, ViTPose, ViTPoseConfig


def network(size: str, keypoint_sets: list[str], device: torch.device) -> ViTPose:
    """Make a network as it is after loading."""
    width = SIZES[size]['embed_dim']
    config = ViTPoseConfig(
        **SIZES[size],
        num_keypoints={name: len(SKELETONS[name]) for name in keypoint_sets},
        part_features=width // 4 if len(keypoint_sets) > 1 else 0,
        folded=True,
    )
    return ViTPose(config).eval().requires_grad_(False).to(device)


def seconds(run: ViTPose, pixels: torch.Tensor, counts: list[int]) -> float:
    """Time one forward pass."""
    begin = time.perf_counter()
    run(pixels, counts)
    if pixels.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> None:
    """Run the comparison and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', nargs='+', default=['small', 'base'], choices=SIZES)
    parser.add_argument('--batches', nargs='+', type=int, default=[6, 12, 24])
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--plain', default='coco', choices=SKELETONS, help='set of the plain one')
    chosen = parser.parse_args()
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    print('size    batch   plain ms   six sets ms   ratio')
    for size in chosen.sizes:
        plain = network(size, [chosen.plain], device)
        mixed = network(size, list(SKELETONS), device)
        for batch in chosen.batches:
            pixels = torch.randn(batch, 3, 256, 192, device=device)
            counts = [len(part) for part in torch.arange(batch).tensor_split(len(SKELETONS))]
            with torch.inference_mode():
                times = [
                    (seconds(plain, pixels, [batch]), seconds(mixed, pixels, counts))
                    for _ in range(chosen.rounds + 1)
                ][1:]  # the first warms up
            one, six = (median(column) * 1000 for column in zip(*times, strict=True))
            ratio = median(b / a for a, b in times)
            print(f'{size:<7}{batch:>6}{one:>11.1f}{six:>14.1f}{ratio:>8.2f}', flush=True)


if __name__ == '__main__':
    main()
