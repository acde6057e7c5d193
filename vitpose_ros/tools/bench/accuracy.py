"""How far decoded keypoints lie from the true ones."""

import numpy as np
import torch

from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.tools.bench import subjects
from vitpose_ros.tools.bench.options import BenchOptions


def accuracy(options: BenchOptions) -> None:
    """Measure errors by distance from the border."""
    generator = torch.Generator().manual_seed(0)
    with options.results.table(
        'accuracy',
        'Decoding of Gaussians: error in heatmap cells, median / 95th percentile',
        ('noise', 'distance from the border', 'highest cell', 'reference', 'hybrid'),
    ) as table:
        table.note = (
            'Peaks of 0.8, two cells wide, where they are cut at the border, too; noise: standard '
            'deviation. A cell is 4 pixels of the crop.'
        )
        for noise in (0.0, 0.004, 0.02, 0.05):
            for low, high, region in (
                (0, 2, 'less than 2 cells'),
                (2, 5, '2 to 5'),
                (6, 99, '6 up'),
            ):
                table.add(noise, region, *errors(noise, low, high, generator))


def errors(noise: float, low: float, high: float, generator: torch.Generator) -> list[str]:
    """Return the errors of each way of decoding, of peaks so many cells from the border."""
    corner = torch.tensor([47.0, 63.0])
    centres = torch.rand(400, 17, 2, generator=generator) * corner
    edge = torch.minimum(centres, corner - centres).amin(dim=2)
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
    return cells
