"""The decoders of ViTPose: from the features of the encoder to the maps of a keypoint set."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.grouping import Grouping

DECONVOLUTION = 4, 2, 1  # of the classic decoder: kernel size, stride, padding


class ClassicDecoder(nn.Module):
    """Two deconvolutions, then a 1x1 convolution."""

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__()
        channels = config.deconv_channels

        def norm() -> nn.Module:
            return nn.Identity() if config.folded else nn.BatchNorm2d(channels)

        self.deconv_layers = nn.Sequential(
            nn.ConvTranspose2d(config.embed_dim, channels, *DECONVOLUTION, bias=config.folded),
            norm(),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, *DECONVOLUTION, bias=config.folded),
            norm(),
            nn.ReLU(),
        )
        self.final_layer = nn.Conv2d(channels, num_keypoints, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to heatmaps (n, k, h/4, w/4)."""
        heatmaps: Tensor = self.final_layer(self.deconv_layers(features))
        return heatmaps


class BottomUpDecoder(ClassicDecoder):
    """The classic decoder, and beside its heatmaps what says whose they are."""

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__(config, num_keypoints)
        self.grouping = Grouping(config.embed_dim, 2 * config.deconv_channels, num_keypoints)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to maps (n, k + more, h/4, w/4); see Grouping."""
        return torch.cat((super().forward(features), self.grouping(features)), dim=1)


class SimpleDecoder(nn.Module):
    """Bilinear upsampling, then a 3x3 convolution."""

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(config.embed_dim, num_keypoints, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to heatmaps (n, k, h/4, w/4)."""
        upsampled = F.interpolate(F.relu(features), scale_factor=4, mode='bilinear')
        heatmaps: Tensor = self.final_layer(upsampled)
        return heatmaps
