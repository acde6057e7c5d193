"""The config.json that Hugging Face keeps beside weights, in the words of our format."""

import json
from pathlib import Path
from typing import Any

from vitpose_ros.core.model.vit import LAYER_NORM_EPS, PATCH_SIZE
from vitpose_ros.core.weights.files import CheckpointError, shorten

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
            ours: str(int(backbone[theirs]))
            for theirs, ours in SHAPE.items()
            if theirs in backbone
        }
        if backbone.get('num_experts', 1) > 1 and 'part_features' in backbone:
            metadata['part_features'] = str(int(backbone['part_features']))
        if 'image_size' in backbone:
            height, width = backbone['image_size']
            metadata['image_size'] = f'{int(height)}x{int(width)}'
        if 'use_simple_decoder' in config:
            metadata['decoder'] = 'simple' if config['use_simple_decoder'] else 'classic'
        return metadata
    except CheckpointError:
        raise
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"configuration '{config_file}': not readable ({shorten(str(error))}); fetch it again"
        ) from error
