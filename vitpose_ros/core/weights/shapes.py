"""What the tensors of a checkpoint say of its network, and whether they all fit together."""

import re
from collections.abc import Collection, Mapping
from math import isqrt
from pathlib import Path
from typing import cast

import torch

from vitpose_ros.core.errors import shorten
from vitpose_ros.core.model.config import (
    DEFAULT_WINDOW_SIZE,
    PATCH_SIZE,
    PUBLIC_UDP,
    SIZES,
    AttentionKind,
    ViTPoseConfig,
)
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.weights.files import CheckpointError
from vitpose_ros.core.weights.layouts import Weights

# The number of heads does not show in the tensors.
HEADS_BY_WIDTH = {size['embed_dim']: size['num_heads'] for size in SIZES.values()}

ASPECT = (4, 3)  # height to width of the input of all public checkpoints


def read_config(weights: Weights, udp: Collection[str] = PUBLIC_UDP) -> ViTPoseConfig:
    """Derive the configuration from the tensors; the metadata adds what they cannot tell.

    udp: the keypoint sets in the unbiased convention, where the metadata does not say.
    """
    path, metadata = weights.path, weights.metadata
    _, slots, width = weights.shape('backbone.pos_embed', 3)
    blocks = {
        found[1] for name in weights.state if (found := re.match(r'backbone\.blocks\.(\d+)', name))
    }
    keypoint_sets = _keypoint_sets(weights)
    first_layer = f'heads.{keypoint_sets[0]}.deconv_layers.0.weight'
    classic = first_layer in weights.state
    try:
        config = ViTPoseConfig(
            embed_dim=width,
            depth=len(blocks),
            num_heads=_num_heads(path, metadata, width),
            num_keypoints={name: len(SKELETONS[name]) for name in keypoint_sets},
            part_features=width - weights.shape('backbone.blocks.0.mlp.fc2.weight', 2)[0],
            mlp_ratio=weights.shape('backbone.blocks.0.mlp.fc1.weight', 2)[0] // width,
            image_size=_image_size(path, metadata, slots - 1),
            decoder='classic' if classic else 'simple',
            deconv_channels=weights.shape(first_layer, 4)[1] if classic else 256,
            attention=_attention(metadata),
            window_size=_size(path, metadata, 'window_size', DEFAULT_WINDOW_SIZE),
            bottom_up=f'heads.{keypoint_sets[0]}.grouping.deconv.weight' in weights.state,
            udp=_udp(path, metadata) if 'udp' in metadata else tuple(udp),
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"weights '{path}': {shorten(str(error))}") from error
    _check_metadata(weights, config)
    return config


def write_metadata(config: ViTPoseConfig) -> dict[str, str]:
    """Return the metadata of a file in our format."""
    return {
        'architecture': 'vitpose',
        'format': 'pt',
        'embed_dim': str(config.embed_dim),
        'depth': str(config.depth),
        'num_heads': str(config.num_heads),
        'keypoint_sets': ','.join(config.keypoint_sets),
        'part_features': str(config.part_features),
        'mlp_ratio': str(config.mlp_ratio),
        'image_size': f'{config.image_size[0]}x{config.image_size[1]}',
        'decoder': config.decoder,
        'deconv_channels': str(config.deconv_channels),
        'attention': config.attention
        if isinstance(config.attention, str)
        else ','.join(config.attention),
        'window_size': f'{config.window_size[0]}x{config.window_size[1]}',
        'udp': ','.join(config.udp),
        **({'bottom_up': 'true'} if config.bottom_up else {}),
    }


def check_shapes(weights: Weights, config: ViTPoseConfig) -> None:
    """Refuse weights that are not exactly those of the network.

    Names the first tensor that is missing, has another shape, or does not belong there.
    """
    with torch.device('meta'):
        network = ViTPose(config)
    expected = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    for name, tensor in expected.items():
        found = weights.take(name)
        if found.shape != tensor.shape:
            raise CheckpointError(
                f'{_subject(weights, name)} has shape {tuple(found.shape)}, expected '
                f'{tuple(tensor.shape)} in a network of width {config.embed_dim} with '
                f'{config.part_features} part features; the file is damaged, or mixes networks'
            )
    unexpected = sorted(weights.state.keys() - expected.keys())
    if unexpected:
        raise CheckpointError(
            f"weights '{weights.path}': {len(unexpected)} tensors do not belong to a ViTPose "
            f"network, the first is '{shorten(weights.name_in_file(unexpected[0]))}'; is this a "
            'ViTPose file?'
        )


def check_numbers(weights: Weights) -> None:
    """Refuse weights with numbers that no network has, naming the first tensor that has them."""
    for name, tensor in weights.state.items():
        if not torch.isfinite(tensor.to(torch.float32)).all():
            raise CheckpointError(
                f'{_subject(weights, name)} holds values that are not finite in float32; the file '
                'is damaged, or its training diverged'
            )
        if name.endswith('.running_var') and (tensor < 0).any():
            raise CheckpointError(
                f'{_subject(weights, name)} holds negative values, which variances cannot be; the '
                'file is damaged'
            )


def _subject(weights: Weights, name: str) -> str:
    return f"weights '{weights.path}': tensor '{weights.name_in_file(name)}'"


def _keypoint_sets(weights: Weights) -> list[str]:
    """Return the sets that have a head, in the order of the metadata, else of SKELETONS."""
    found = {match[1] for name in weights.state if (match := re.match(r'heads\.(\w+)\.', name))}
    if not found:
        raise CheckpointError(
            f"weights '{weights.path}': no keypoint head in it; the file is damaged"
        )
    unknown = sorted(found - SKELETONS.keys())
    if unknown:
        raise CheckpointError(
            f"weights '{weights.path}': keypoint set '{shorten(unknown[0])}' is not known; known "
            f'are {", ".join(SKELETONS)}'
        )
    stated = weights.metadata.get('keypoint_sets', '').split(',')
    return stated if sorted(stated) == sorted(found) else [n for n in SKELETONS if n in found]


def _num_heads(path: Path, metadata: Mapping[str, str], width: int) -> int:
    heads = (
        _number(path, metadata, 'num_heads')
        if 'num_heads' in metadata
        else HEADS_BY_WIDTH.get(width, 0)
    )
    if heads < 1 or width % heads:
        raise CheckpointError(
            f"weights '{path}': no number of attention heads fits its width of {width} (got "
            f'{shorten(str(heads))}); known without a configuration, by width: {HEADS_BY_WIDTH}'
        )
    return heads


def _image_size(path: Path, metadata: Mapping[str, str], patches: int) -> tuple[int, int]:
    """Return height and width in pixels of the input that the positions were trained for."""
    if 'image_size' in metadata:
        size = _size(path, metadata, 'image_size', (0, 0))
        if (size[0] // PATCH_SIZE) * (size[1] // PATCH_SIZE) != patches:
            raise CheckpointError(
                f"weights '{path}': the configuration says an image of {size[0]} x {size[1]}, but "
                f'the position embedding is for {patches} patches; the file is damaged or '
                'mislabelled'
            )
        return size
    unit = isqrt(max(patches, 0) // (ASPECT[0] * ASPECT[1]))
    if unit < 1 or patches != unit * unit * ASPECT[0] * ASPECT[1]:
        raise CheckpointError(
            f"weights '{path}': position embedding for {patches} patches, which is no grid of "
            f'{ASPECT[0]}:{ASPECT[1]} (192 patches are 256 x 192 pixels); is this a ViTPose file?'
        )
    return unit * ASPECT[0] * PATCH_SIZE, unit * ASPECT[1] * PATCH_SIZE


def _attention(metadata: Mapping[str, str]) -> AttentionKind | tuple[AttentionKind, ...]:
    """Return what the metadata states; the configuration checks it."""
    kinds = cast(tuple[AttentionKind, ...], tuple(metadata.get('attention', 'full').split(',')))
    return kinds[0] if len(kinds) == 1 else kinds


def _check_metadata(weights: Weights, config: ViTPoseConfig) -> None:
    """Refuse a file whose metadata and tensors disagree."""
    path, metadata = weights.path, weights.metadata
    found = {'bottom_up': 'false', **write_metadata(config)}
    for name in sorted(found.keys() & metadata.keys() - {'architecture', 'format'}):
        if metadata[name] != found[name]:
            raise CheckpointError(
                f"weights '{path}': {weights.saying(name)} = {shorten(metadata[name])}, "
                f'the tensors {found[name]}; the file is damaged or mislabelled'
            )


def _udp(path: Path, metadata: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(filter(None, metadata['udp'].split(',')))
    for name in names:
        if name not in SKELETONS:
            raise CheckpointError(
                f"weights '{path}': metadata says udp = '{shorten(name)}', which is no keypoint "
                f'set; known are {", ".join(SKELETONS)}'
            )
    return names


def _number(path: Path, metadata: Mapping[str, str], name: str) -> int:
    try:
        return int(metadata[name])
    except ValueError as error:
        raise CheckpointError(
            f"weights '{path}': metadata says {name} = '{shorten(metadata[name])}', expected a "
            'number'
        ) from error


def _size(
    path: Path, metadata: Mapping[str, str], name: str, default: tuple[int, int]
) -> tuple[int, int]:
    if name not in metadata:
        return default
    found = re.fullmatch(r'(\d{1,5})x(\d{1,5})', metadata[name])
    if not found:
        raise CheckpointError(
            f"weights '{path}': metadata says {name} = '{shorten(metadata[name])}', expected a "
            "height and a width, as in '256x192'"
        )
    return int(found[1]), int(found[2])
