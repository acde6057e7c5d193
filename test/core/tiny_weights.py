"""A network so small that its files are made at once, for tests of damage."""

import torch
from safetensors.torch import save_file

from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose

TINY = ViTPoseConfig(
    embed_dim=64, depth=2, num_heads=2, num_keypoints={'coco': 17}, deconv_channels=16
)


def tiny_state():
    """A small state as the authors would save it."""
    torch.manual_seed(0)
    return {
        name.replace('heads.coco', 'keypoint_head'): tensor
        for name, tensor in ViTPose(TINY).state_dict().items()
    }


def write(path, state, **metadata):
    metadata = {'num_heads': '2', **metadata}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata)
    return path
