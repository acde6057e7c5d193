"""Trained weights to the weights that inference needs; the results stay the same.

All functions map a configuration and its state to new ones and leave what they are given alone.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.weights.files import State

BATCH_NORM_EPS = 1e-5


def select_sets(
    config: ViTPoseConfig, state: State, keypoint_sets: Sequence[str]
) -> tuple[ViTPoseConfig, State]:
    """Keep the experts and heads of these keypoint sets alone, in this order.

    Where one set remains, its expert's rows join those of fc2, and the network is a plain
    transformer: the concatenation of two linear maps of one input is one linear map.
    """
    kept = {name: config.num_keypoints[name] for name in keypoint_sets}
    fold = len(kept) == 1 and config.part_features > 0
    selected: State = {}
    for name, tensor in state.items():
        part, _, rest = name.partition('.')
        if part == 'heads' and rest.split('.')[0] not in kept:
            continue
        expert = name.partition('.experts.')[2]
        if expert and (fold or expert.split('.')[0] not in kept):
            continue
        selected[name] = tensor
        if fold and '.mlp.fc2.' in name:
            own = name.replace('.fc2.', f'.experts.{keypoint_sets[0]}.')
            selected[name] = torch.cat((tensor, state[own]))
    return (
        replace(config, num_keypoints=kept, part_features=0 if fold else config.part_features),
        selected,
    )


def resize_positions(
    config: ViTPoseConfig, state: State, image_size: tuple[int, int]
) -> tuple[ViTPoseConfig, State]:
    """Interpolate the position embedding for another input size (height, width in pixels).

    Bicubic, as the reference code does when it fine-tunes at another resolution.
    """
    resized = replace(config, image_size=image_size)
    if resized.grid_size == config.grid_size:
        return resized, state
    positions = state['backbone.pos_embed']
    grid = positions[:, 1:].float().transpose(1, 2)
    grid = grid.reshape(1, config.embed_dim, *config.grid_size)
    grid = F.interpolate(grid, resized.grid_size, mode='bicubic', align_corners=False)
    grid = grid.flatten(2).transpose(1, 2).to(positions.dtype)
    return resized, state | {'backbone.pos_embed': torch.cat((positions[:, :1], grid), dim=1)}


def fold(config: ViTPoseConfig, state: State) -> tuple[ViTPoseConfig, State]:
    """Sum the two parts of the position embedding, and fold batch norm into the deconvolutions."""
    folded = dict(state)
    positions = folded['backbone.pos_embed']
    folded['backbone.pos_embed'] = positions[:, 1:] + positions[:, :1]
    if config.decoder == 'classic':
        for keypoint_set in config.keypoint_sets:
            for deconv, norm in ((0, 1), (3, 4)):
                stem = f'heads.{keypoint_set}.deconv_layers'
                weight, bias = _fuse(folded, f'{stem}.{deconv}', f'{stem}.{norm}')
                folded[f'{stem}.{deconv}.weight'] = weight
                folded[f'{stem}.{deconv}.bias'] = bias
    return replace(config, folded=True), folded


def _fuse(state: State, deconv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a deconvolution and its batch norm in one; removes the latter."""
    names = ('running_mean', 'running_var', 'weight', 'bias')
    mean, variance, gain, shift = (state.pop(f'{norm}.{name}') for name in names)
    weight, bias = fuse_conv_bn_weights(
        state[f'{deconv}.weight'],
        None,
        mean,
        variance,
        BATCH_NORM_EPS,
        gain,
        shift,
        transpose=True,
    )
    return weight.detach(), bias.detach()
