"""What runs the network. Backends share one protocol, so that the estimator needs no cases."""

from collections.abc import Sequence
from typing import Protocol

import torch

from vitpose_ros.core.vit import ViTPoseConfig


class Backend(Protocol):
    """Runs one network on one device."""

    @property
    def config(self) -> ViTPoseConfig:
        """The shape of the network."""

    @property
    def device(self) -> torch.device:
        """Where the network runs; heatmaps come back there."""

    def heatmaps(self, crops: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
        """Map crops (n, h, w, 3) uint8 RGB to heatmaps, a tensor for each keypoint set.

        The crops stand in the order of config.keypoint_sets; counts tells how many belong to
        each. Of each set the heatmaps are (count, k, h/4, w/4) float32.
        """
