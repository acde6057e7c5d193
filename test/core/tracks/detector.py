"""What a detector and a network for poses make of the truth: misses, jitter, scores."""

from dataclasses import dataclass

import numpy as np
from street import SIGMAS

from vitpose_ros.core import Poses


@dataclass(frozen=True)
class Detector:
    """How bad it is; the default is perfect."""

    misses: float = 0.0  # share of boxes
    jitter: float = 0.0  # of the sides, as a part of the box's height
    noise: float = 0.0  # of keypoints, in OKS's sigmas
    false: float = 0.0  # boxes of nothing a frame
    least: float = 0.3  # visible share below which nobody is seen

    def poses(self, sight, rng, size=(720, 1280)):
        """Return Poses, and for each the row of the sight, or -1; size: height, width."""
        height, width = size
        seen = (sight.visible >= self.least) & (rng.random(len(sight.ids)) >= self.misses)
        rows = np.flatnonzero(seen)
        boxes, points = sight.boxes[rows].copy(), sight.points[rows].copy()
        size = (boxes[:, 3] - boxes[:, 1])[:, None]
        scores = np.where(sight.seen[rows], 0.9, 0.35)
        box_scores = np.full(len(rows), 0.95)
        if self.jitter or self.misses:
            boxes += rng.normal(0, self.jitter, boxes.shape) * size
            box_scores = (sight.visible[rows] * 0.7 + rng.normal(0.3, 0.12, len(rows))).clip(
                0.05, 1
            )
        if self.noise:
            spread = 2 * SIGMAS[None, :] * 0.5 * size * self.noise
            spread = np.where(sight.seen[rows], spread, 3 * spread)
            points += rng.normal(0, 1, points.shape) * spread[..., None]
            scores = (scores + rng.normal(0, 0.1, scores.shape)).clip(0.05, 1)
        for _ in range(rng.poisson(self.false)):
            h = rng.uniform(60, 400)
            x, y = rng.uniform(0, width - h / 2), rng.uniform(0, max(height - h, 1))
            box = np.array([x, y, x + 0.4 * h, y + h])
            boxes = np.concatenate((boxes, box[None]))
            fake = box[:2] + rng.random((1, 17, 2)) * (box[2:] - box[:2])
            points = np.concatenate((points, fake))
            scores = np.concatenate((scores, rng.uniform(0.1, 0.5, (1, 17))))
            box_scores = np.append(box_scores, rng.uniform(0.1, 0.7))
            rows = np.append(rows, -1)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
        poses = Poses(
            width,
            height,
            boxes.astype(np.float32),
            ('coco',) * len(rows),
            points.astype(np.float32),
            scores.astype(np.float32),
            box_scores=box_scores.astype(np.float32),
        )
        return poses, rows


TRUE = Detector()
NOISY = Detector(misses=0.1, jitter=0.03, noise=0.5, false=0.05)
