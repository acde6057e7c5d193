"""What runs the network. Backends share one protocol, so that the estimator needs no cases."""

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

    def heatmaps(self, crops: torch.Tensor) -> torch.Tensor:
        """Map crops (n, h, w, 3) uint8 RGB to heatmaps (n, k, h/4, w/4) float32."""
