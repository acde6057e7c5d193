"""Attention within windows of the token grid.

ViTPose (arXiv:2204.12484, on the flexibility of its attention) lets blocks attend within windows
where full attention costs too much memory: plain windows, windows shifted by half their size (Liu
et al., "Swin Transformer", 2021, arXiv:2103.14030), and windows whose tokens also see the mean of
every window.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Windows(nn.Module):
    """Attends within windows; those at the borders of the grid may be smaller."""

    gather: Tensor  # (windows * slots,) the token of each slot; 0 where there is none
    scatter: Tensor  # (tokens,) the slot of each token
    filled: Tensor  # (windows, slots) whether there is a token in the slot

    def __init__(
        self,
        grid_size: tuple[int, int],
        window_size: tuple[int, int],
        *,
        shifted: bool = False,
        pooled: bool = False,
    ) -> None:
        """Take the height and width of grid and windows, in tokens.

        shifted: windows begin half a window further, as after Swin's cyclic shift and mask.
        pooled: every window also attends to the mean key and value of each window.
        """
        super().__init__()
        self.pooled = pooled
        # Where one window spans the grid there is nothing to shift, as in torchvision's Swin.
        offset = [
            side // 2 if shifted and side < length else 0
            for side, length in zip(window_size, grid_size, strict=True)
        ]
        rows, columns = np.indices(grid_size)
        row_window = (rows - offset[0]) // window_size[0]
        column_window = (columns - offset[1]) // window_size[1]
        key = (row_window - row_window.min()) * grid_size[1] + column_window - column_window.min()
        _, window, sizes = np.unique(key.ravel(), return_inverse=True, return_counts=True)
        window = window.ravel()

        # A slot for each token, window by window, in the order of the tokens.
        order = np.argsort(window, kind='stable')
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        place = np.arange(len(order)) - starts[window[order]]
        scatter = np.empty(len(order), dtype=np.int64)
        scatter[order] = window[order] * sizes.max() + place
        filled = np.arange(sizes.max()) < sizes[:, None]
        gather = np.zeros(filled.size, dtype=np.int64)
        gather[scatter] = np.arange(len(order))
        self.full = bool(sizes.min() == sizes.max())  # no slot of any window is empty
        # Made by numpy, so that they are real also where a network is built on the meta device.
        self.register_buffer('gather', torch.from_numpy(gather), persistent=False)
        self.register_buffer('scatter', torch.from_numpy(scatter), persistent=False)
        self.register_buffer('filled', torch.from_numpy(filled), persistent=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Map query, key and value (n, heads, t, d) each to the mixed values (n, heads, t, d)."""
        count, slots = self.filled.shape
        n, heads, _, d = query.shape

        def cut(tensor: Tensor) -> Tensor:  # (n, heads, windows, slots, d)
            return tensor[:, :, self.gather].view(n, heads, count, slots, d)

        query, key, value = cut(query), cut(key), cut(value)
        if self.pooled:
            key, value = self._with_means(key), self._with_means(value)
        # Each window of a head counts as a head: PyTorch's fast kernels take four dimensions.
        query, key, value = (tensor.flatten(1, 2) for tensor in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self._mask(heads))
        return mixed.view(n, heads, count * slots, d)[:, :, self.scatter]

    def _mask(self, heads: int) -> Tensor | None:
        """Return what the tokens of a window may see, (heads windows, 1, slots); None: all."""
        if self.full:
            return None
        mask = self.filled[:, None]
        if self.pooled:
            mask = torch.cat((mask, mask.new_ones(len(mask), 1, len(mask))), dim=2)
        return mask.repeat(heads, 1, 1)

    def _with_means(self, cut: Tensor) -> Tensor:
        """Append to each window the mean of every window: (n, heads, windows, slots + windows, d).

        The mean of the keys is the key of the mean token, because the projection is linear.
        """
        filled = self.filled[:, :, None]
        means = (cut * filled).sum(dim=3) / filled.sum(dim=1)  # (n, heads, windows, d)
        return torch.cat((cut, means[:, :, None].expand(-1, -1, len(filled), -1, -1)), dim=3)
