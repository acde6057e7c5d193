"""What a network that sees a whole image says besides heatmaps: whose keypoints they are.

Of each cell of 8 pixels a side: whether a subject has its centre there, where the sides of its box
are, and where each of its keypoints should be; as Zhou et al., "Objects as Points", 2019
(arXiv:1904.07850), from the features of a plain transformer.
"""

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8  # input pixels a cell
UNIT = 32.0  # input pixels that an output of 1 stands for
FINER = 2  # heatmap cells a cell, each way
CENTRE, BOX, OFFSETS = slice(0, 1), slice(1, 5), slice(5, None)  # of the channels


def num_channels(num_keypoints: int) -> int:
    """Return how many numbers a cell has: centre, box, two for each keypoint, and some unused."""
    return -(-(5 + 2 * num_keypoints) // FINER**2) * FINER**2


class Grouping(nn.Module):
    """A deconvolution, then a 1x1 convolution."""

    def __init__(self, embed_dim: int, channels: int, num_keypoints: int) -> None:
        """Take the width of features, of what is between, and how many keypoints there are."""
        super().__init__()
        self.deconv = nn.ConvTranspose2d(embed_dim, channels, 4, 2, 1)
        self.final_layer = nn.Conv2d(channels, num_channels(num_keypoints), 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to numbers (n, c/4, h/4, w/4), laid out like heatmaps.

        c: see num_channels; unfolded gives (n, c, h/8, w/8) again.
        """
        cells: Tensor = self.final_layer(F.gelu(self.deconv(features)))
        return F.pixel_shuffle(cells, FINER)


def unfolded(maps: Tensor) -> Tensor:
    """Map what Grouping gives, (n, c/4, h/4, w/4), to cells (n, c, h/8, w/8)."""
    return F.pixel_unshuffle(maps, FINER)
