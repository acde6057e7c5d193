"""The config.json that Hugging Face keeps beside weights, in the words of our format."""

import json
from pathlib import Path
from typing import Any

from vitpose_ros.core.errors import shorten
from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.model.vit import LAYER_NORM_EPS
from vitpose_ros.core.weights.files import CheckpointError

# Of the backbone_config of Hugging Face, and what we call it.
SHAPE = {
    'hidden_size': 'embed_dim',
    'num_hidden_layers': 'depth',
    'num_attention_heads': 'num_heads',
    'mlp_ratio': 'mlp_ratio',
}


def read_metadata(config_file: Path) -> dict[str, str]:
    """Read the config.json beside the tensors, if there is one, in the words of our format.

    What it says of the network's shape is compared with the tensors later; what they cannot tell
    has to be as in all published networks.
    """
    if not config_file.is_file():
        return {}
    try:
        config: dict[str, Any] = json.loads(config_file.read_text())
        backbone: dict[str, Any] = config.get('backbone_config') or {}
        for key, values, known in (
            ('hidden_act', backbone, ('gelu',)),
            ('qkv_bias', backbone, (True,)),
            # The published ones were trained with the first, and their files say the second.
            ('layer_norm_eps', backbone, (LAYER_NORM_EPS, 1e-12)),
            ('patch_size', backbone, ([PATCH_SIZE, PATCH_SIZE], PATCH_SIZE)),
            ('scale_factor', config, (4,)),
        ):
            if values.get(key, known[0]) not in known:
                raise CheckpointError(
                    f"configuration '{config_file}': {key} is {shorten(repr(values[key]))}, only "
                    f'{known[0]!r} is supported'
                )
        metadata = {
            ours: str(_whole(config_file, theirs, backbone[theirs]))
            for theirs, ours in SHAPE.items()
            if theirs in backbone
        }
        if backbone.get('num_experts', 1) > 1 and 'part_features' in backbone:
            rows = _whole(config_file, 'part_features', backbone['part_features'])
            metadata['part_features'] = str(rows)
        if 'image_size' in backbone:
            height, width = (
                _whole(config_file, 'image_size', side) for side in backbone['image_size']
            )
            metadata['image_size'] = f'{height}x{width}'
        if 'use_simple_decoder' in config:
            metadata['decoder'] = 'simple' if config['use_simple_decoder'] else 'classic'
        return metadata
    except CheckpointError:
        raise
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"configuration '{config_file}': not readable ({shorten(str(error))}); fetch it again"
        ) from error


def _whole(config_file: Path, name: str, value: Any) -> int:
    """Return a whole number, which may be written as 4.0."""
    if type(value) is int or (isinstance(value, float) and value.is_integer()):
        return int(value)
    raise CheckpointError(
        f"configuration '{config_file}': {name} is {shorten(repr(value))}, expected a whole "
        'number; fetch it again'
    )
