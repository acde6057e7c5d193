"""The kernel that cuts crops out of an image, and whether it can be used."""

import numpy as np
import torch
from torch import Tensor

from vitpose_ros.core.geometry.crops import crop_steps, sample_crops
from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.model.vit import PATCH_PADDING
from vitpose_ros.core.runtime.cuda import kernels
from vitpose_ros.core.runtime.cuda.device import on_device
from vitpose_ros.core.runtime.cuda.network import (
    CENTRE,
    PATCH_VALUES,
    SCALE,
    cut_patches,
    padding_values,
)
from vitpose_ros.core.runtime.faults import brief
from vitpose_ros.core.types import Channels

TABLE = 5  # float32 of a crop in the kernel's table: x, y, step in x, step in y, place
# Where red is in a pixel, and how far from there green, and blue from it.
ORDERS: dict[Channels, tuple[int, int]] = {
    'rgb': (0, 1), 'rgba': (0, 1), 'bgr': (2, -1), 'bgra': (2, -1), 'mono': (0, 0),
}  # fmt: skip


def sample(
    image: Tensor, table: Tensor, channels: Channels, out: Tensor, size: tuple[int, int]
) -> None:
    """Cut regions out of an image (h, w, c) or (h, w) uint8, of any strides, by the kernel.

    table: bytes of (n, TABLE) float32. out: crops or patches. size: height and width of a crop.
    """
    kernels.sample(
        image,
        table.view(torch.float32).view(-1, TABLE),
        padding_values(image.device, torch.float32 if out.dtype == torch.uint8 else out.dtype),
        out,
        size=size,
        patch=PATCH_SIZE,
        margin=0 if out.dtype == torch.uint8 else PATCH_PADDING,
        centre=CENTRE,
        scale=SCALE,
        channels=ORDERS[channels],
    )


@torch.inference_mode()
def kernel_fault(device: torch.device) -> str:
    """Return what keeps the kernel from being used, nothing where it gives what PyTorch does."""
    fault = kernels.fault(device)
    if fault:
        return fault
    size = (2 * PATCH_SIZE, PATCH_SIZE)
    image = torch.arange(40 * 30 * 3, dtype=torch.int32).mul(7).to(torch.uint8).view(40, 30, 3)
    regions, udp = np.array([[-3.0, 2.0, 20.0, 40.0], [4.5, -1.0, 9.0, 18.0]]), np.ones(2, bool)
    table = np.column_stack((regions[:, :2], crop_steps(regions, size, udp), (0, 1)))
    try:
        with on_device(device):
            rows = torch.from_numpy(table.astype(np.float32)).to(device)
            out = torch.empty(2, *size, 3, dtype=torch.uint8, device=device)
            sample(image.to(device), rows.view(torch.uint8), 'bgr', out, size)
            expected = sample_crops(image.to(device), 'bgr', regions, udp, size)
            worst = int((out.int() - expected.int()).abs().max())
            patches = torch.empty(4, PATCH_VALUES, dtype=torch.float16, device=device)
            sample(image.to(device), rows.view(torch.uint8), 'bgr', patches, size)
            if not torch.equal(patches, cut_patches(out, torch.float16)):
                return 'its patches differ from those of its crops'
    except Exception as error:  # a compiler, a driver, a card: whatever it is
        return brief(error)
    return f'its crops differ by {worst} grey levels' if worst > 1 else ''
