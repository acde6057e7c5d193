"""Weight files to networks; the only place that knows how others name their tensors.

Two layouts, told apart by their tensors and never by file names:

* ours: a safetensors file with the tensor names of the original checkpoints and the
  configuration in its metadata;
* Hugging Face transformers: a safetensors file with the names of VitPoseForPoseEstimation,
  or the directory that holds it and its config.json.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vitpose_ros.core.skeletons import COCO
from vitpose_ros.core.vit import PATCH_SIZE, ViTPose, ViTPoseConfig

EMBEDDED_MODEL = 'nano'

# The number of heads does not show in the tensors. Published sizes, S to H; S has 12, not 6.
HEADS_BY_EMBED_DIM = {384: 12, 768: 12, 1024: 16, 1280: 16}

# Hugging Face names to ours, in this order. Query, key and value are joined afterwards.
HUGGING_FACE_NAMES = (
    (r'^backbone\.embeddings\.position_embeddings$', 'backbone.pos_embed'),
    (r'^backbone\.embeddings\.patch_embeddings\.projection\.', 'backbone.patch_embed.proj.'),
    (r'^backbone\.encoder\.layer\.', 'backbone.blocks.'),
    (r'\.layernorm_before\.', '.norm1.'),
    (r'\.layernorm_after\.', '.norm2.'),
    (r'\.attention\.output\.dense\.', '.attn.proj.'),
    (r'\.attention\.attention\.', '.attn.'),
    (r'^backbone\.layernorm\.', 'backbone.last_norm.'),
    (r'^head\.deconv1\.', 'keypoint_head.deconv_layers.0.'),
    (r'^head\.batchnorm1\.', 'keypoint_head.deconv_layers.1.'),
    (r'^head\.deconv2\.', 'keypoint_head.deconv_layers.3.'),
    (r'^head\.batchnorm2\.', 'keypoint_head.deconv_layers.4.'),
    (r'^head\.conv\.', 'keypoint_head.final_layer.'),
)

State = dict[str, Tensor]


class CheckpointError(ValueError):
    """A weight file is absent, damaged, or of another network."""


def load_network(model: str | Path = EMBEDDED_MODEL) -> ViTPose:
    """Load a network, ready for inference, in float32 on the CPU.

    model: the name of the embedded network, a safetensors file, or a Hugging Face directory.
    Raises CheckpointError, which names the file, what is wrong with it, and the remedy.
    """
    path = find_model(model)
    metadata, state = _read(path)
    if 'backbone.embeddings.position_embeddings' in state:
        state = _from_hugging_face(path, state)
        config = _config_from_tensors(path, state, _heads_from_config_file(path))
    elif 'backbone.pos_embed' in state:
        heads = _metadata_number(path, metadata, 'num_heads') if 'num_heads' in metadata else None
        config = _config_from_tensors(path, state, heads)
        _check_metadata(path, metadata, config)
    else:
        raise CheckpointError(
            f"weights '{path}': no ViTPose tensors in it (neither 'backbone.pos_embed' nor "
            f"'backbone.embeddings.position_embeddings'; its first is "
            f'{min(state, default="none")!r}); is this a ViTPose file?'
        )
    if config.num_keypoints != len(COCO):
        raise CheckpointError(
            f"weights '{path}': the head gives {config.num_keypoints} keypoints, expected the "
            f"{len(COCO)} of the keypoint set '{COCO.name}'; use a COCO checkpoint"
        )
    return _build(path, config, state)


def find_model(model: str | Path) -> Path:
    """Return the file of a model: an embedded name, a file, or a Hugging Face directory."""
    if str(model) == EMBEDDED_MODEL:
        # Beside the package where it is installed, beside its parent in a source checkout.
        package = Path(__file__).parent.parent
        for folder in (package / 'models', package.parent / 'models'):
            path = folder / f'{EMBEDDED_MODEL}.safetensors'
            if path.is_file():
                return path
        raise CheckpointError(
            f"the embedded network '{EMBEDDED_MODEL}' is not in {package / 'models'}; "
            'install the package again'
        )
    path = Path(model).expanduser()
    if path.is_dir():
        path = path / 'model.safetensors'
    if not path.is_file():
        raise CheckpointError(
            f"weights '{path}': no such file; give a safetensors file, a Hugging Face directory "
            f"with model.safetensors in it, or '{EMBEDDED_MODEL}' for the embedded network"
        )
    return path


def _read(path: Path) -> tuple[dict[str, str], State]:
    """Read a safetensors file: its metadata, and its tensors in float32."""
    try:
        with safe_open(path, framework='pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"weights '{path}': not a readable safetensors file ({error}); it may be truncated "
            'or of another format: fetch or convert it again'
        ) from error
    return metadata, {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def _from_hugging_face(path: Path, state: State) -> State:
    """Rename Hugging Face tensors to ours: fused qkv, and the COCO expert folded into fc2."""
    ours: State = {}
    for name, tensor in state.items():
        for pattern, replacement in HUGGING_FACE_NAMES:
            name = re.sub(pattern, replacement, name)
        ours[name] = tensor
    for query in [name for name in ours if '.attn.query.' in name]:
        names = [query.replace('.query.', f'.{part}.') for part in ('query', 'key', 'value')]
        ours[query.replace('.query.', '.qkv.')] = torch.cat(
            [_take(path, ours, name) for name in names]
        )
        for name in names:
            del ours[name]
    # ViTPose++: the last rows of fc2 come from the dataset's expert; COCO is number 0.
    for expert in [name for name in ours if '.mlp.experts.0.' in name]:
        fc2 = expert.replace('.experts.0.', '.fc2.')
        ours[fc2] = torch.cat((_take(path, ours, fc2), ours[expert]))
    return {name: tensor for name, tensor in ours.items() if '.mlp.experts.' not in name}


def _config_from_tensors(path: Path, state: State, heads: int | None) -> ViTPoseConfig:
    """Derive the configuration from the tensors; only the number of heads comes from outside."""
    embed_dim = _shape(path, state, 'backbone.pos_embed', 3)[2]
    blocks = {
        int(found[1]) for name in state if (found := re.match(r'backbone\.blocks\.(\d+)\.', name))
    }
    if heads is None:
        heads = HEADS_BY_EMBED_DIM.get(embed_dim)
    if heads is None or heads < 1 or embed_dim % heads:
        raise CheckpointError(
            f"weights '{path}': no number of attention heads fits its width of {embed_dim} "
            f'(got {heads}); known without a configuration: {HEADS_BY_EMBED_DIM}'
        )
    classic = 'keypoint_head.deconv_layers.0.weight' in state
    deconv = _shape(path, state, 'keypoint_head.deconv_layers.0.weight', 4)[1] if classic else 256
    config = ViTPoseConfig(
        embed_dim=embed_dim,
        depth=len(blocks),
        num_heads=heads,
        num_keypoints=_shape(path, state, 'keypoint_head.final_layer.weight', 4)[0],
        mlp_ratio=_shape(path, state, 'backbone.blocks.0.mlp.fc1.weight', 2)[0] // embed_dim,
        decoder='classic' if classic else 'simple',
        deconv_channels=deconv,
    )
    patches = _shape(path, state, 'backbone.pos_embed', 3)[1] - 1
    height, width = config.grid_size
    if patches != height * width:
        raise CheckpointError(
            f"weights '{path}': position embedding for {patches} patches, expected "
            f'{height * width} ({config.image_size[0]} x {config.image_size[1]} pixels, patches '
            f'of {PATCH_SIZE}); other input sizes are not supported'
        )
    return config


def _build(path: Path, config: ViTPoseConfig, state: State) -> ViTPose:
    """Make the network and put the tensors into it; none may be missing, left over or odd."""
    with torch.device('meta'):
        network = ViTPose(config)
    # Only training reads the number of batches, and some files leave it out.
    expected = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    state = {name: t for name, t in state.items() if not name.endswith('num_batches_tracked')}
    for name, tensor in expected.items():
        if _take(path, state, name).shape != tensor.shape:
            raise CheckpointError(
                f"weights '{path}': tensor '{name}' has shape {tuple(state[name].shape)}, "
                f'expected {tuple(tensor.shape)}; is this a plain ViTPose file?'
            )
    unexpected = sorted(state.keys() - expected.keys())
    if unexpected:
        raise CheckpointError(
            f"weights '{path}': {len(unexpected)} tensors do not belong to a ViTPose network, "
            f"the first is '{unexpected[0]}'; is this a plain ViTPose file?"
        )
    network.to_empty(device='cpu')
    network.load_state_dict(state, strict=False)
    return network.eval().requires_grad_(False)


def _heads_from_config_file(path: Path) -> int | None:
    """Read the number of heads from the config.json beside the weights, if there is one."""
    config_file = path.with_name('config.json')
    if not config_file.is_file():
        return None
    try:
        return int(json.loads(config_file.read_text())['backbone_config']['num_attention_heads'])
    except KeyError:
        return None  # it stands at the library's default, 12, or in the table of sizes
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"configuration '{config_file}': not readable ({error}); fetch it again"
        ) from error


def _check_metadata(path: Path, metadata: Mapping[str, str], config: ViTPoseConfig) -> None:
    """Refuse a file whose metadata and tensors disagree."""
    for name in ('embed_dim', 'depth', 'num_keypoints', 'mlp_ratio'):
        if name in metadata:
            stated, found = _metadata_number(path, metadata, name), getattr(config, name)
            if stated != found:
                raise CheckpointError(
                    f"weights '{path}': metadata says {name} = {stated}, the tensors {found}; "
                    'the file is damaged or mislabelled'
                )


def _metadata_number(path: Path, metadata: Mapping[str, str], name: str) -> int:
    try:
        return int(metadata[name])
    except ValueError as error:
        raise CheckpointError(
            f"weights '{path}': metadata says {name} = {metadata[name]!r}, expected a number"
        ) from error


def _take(path: Path, state: State, name: str) -> Tensor:
    if name not in state:
        raise CheckpointError(
            f"weights '{path}': tensor '{name}' is missing; is this a complete ViTPose file?"
        )
    return state[name]


def _shape(path: Path, state: State, name: str, dimensions: int) -> torch.Size:
    shape = _take(path, state, name).shape
    if len(shape) != dimensions:
        raise CheckpointError(
            f"weights '{path}': tensor '{name}' has shape {tuple(shape)}, expected "
            f'{dimensions} dimensions; is this a ViTPose file?'
        )
    return shape
