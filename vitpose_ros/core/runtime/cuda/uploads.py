"""What is sent to a GPU, by way of memory that copies need not wait for."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_ros.core.runtime.cuda.device import event, on_device, pinned


class Upload:
    """Memory of the host and of the device for what is sent together."""

    def __init__(self, device: torch.device, stream: Any) -> None:
        self._device = device
        self._stream = stream
        self._here = pinned(0, dtype=torch.uint8, device=device)
        self._there = torch.empty(0, dtype=torch.uint8, device=device)
        self._sent = event(device)

    def room(self, size: int) -> NDArray[np.uint8]:
        """Return so many bytes to fill, when the last that were sent are on the device."""
        self._sent.synchronize()
        if size > len(self._here):
            # So that it is used again in the order of the stream alone.
            with on_device(self._device, self._stream):
                self._there = torch.empty(size, dtype=torch.uint8, device=self._device)
            self._here = pinned(size, dtype=torch.uint8, device=self._device)
        return self._here[:size].numpy()

    def send(self, size: int) -> Tensor:
        """Send so many bytes on the stream, which is the current one, and return them there."""
        there = self._there[:size]
        there.copy_(self._here[:size], non_blocking=True)
        self._sent.record()
        return there

    def drop(self) -> None:
        """Give the memory of the device back."""
        self._there = torch.empty(0, dtype=torch.uint8, device=self._device)
        self._here = pinned(0, dtype=torch.uint8, device=self._device)
