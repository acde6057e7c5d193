"""PyTorch, on the CPU or a CUDA device."""

from collections.abc import Sequence

import torch

from vitpose_ros.core.crops import normalise
from vitpose_ros.core.vit import ViTPose, ViTPoseConfig


class DeviceError(ValueError):
    """A device that is not there."""


def choose_device(device: str) -> torch.device:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device that is there.

    Raises DeviceError, which names the remedy, when it is not, and ValueError for another word.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device '{device}' is not known; give auto, cpu, cuda or cuda:N"
        ) from error
    if chosen.type not in ('cpu', 'cuda'):
        raise ValueError(f"device '{device}' is not supported; give auto, cpu, cuda or cuda:N")
    if chosen.type == 'cuda' and (chosen.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device '{device}' is not there: PyTorch {torch.__version__} sees "
            f'{torch.cuda.device_count()} CUDA devices; give cpu, or install a CUDA build'
        )
    return chosen


class TorchBackend:
    """Runs a network in PyTorch, in float32."""

    def __init__(self, network: ViTPose, device: str = 'auto') -> None:
        self.device = choose_device(device)
        self.network = network.to(self.device)

    @property
    def config(self) -> ViTPoseConfig:
        """The shape of the network."""
        return self.network.config

    @torch.inference_mode()
    def heatmaps(self, crops: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
        """Map crops to heatmaps; see Backend."""
        heatmaps: list[torch.Tensor] = self.network(normalise(crops.to(self.device)), counts)
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)  # so that time and errors show where they arise
        return heatmaps
