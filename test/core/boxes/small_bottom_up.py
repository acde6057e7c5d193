"""A bottom-up network with random weights, small, which sees people everywhere."""

import torch

from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.weights import write_checkpoint

SIZE = 96, 128
CONFIG = ViTPoseConfig(
    embed_dim=48,
    depth=2,
    num_heads=3,
    num_keypoints={'coco': 17},
    image_size=SIZE,
    deconv_channels=16,
    attention=('pooled_window', 'full'),
    window_size=(3, 4),
    bottom_up=True,
)


def write(path):
    """Write its weights."""
    torch.manual_seed(0)
    network = ViTPose(CONFIG)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    write_checkpoint(path, CONFIG, network.state_dict())
