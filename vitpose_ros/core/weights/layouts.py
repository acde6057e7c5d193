"""Foreign tensor names to ours; the only place that knows them.

Ours are those of the original checkpoints, but experts and heads carry the name of their keypoint
set: `backbone.blocks.0.mlp.experts.aic.weight`, `heads.aic.final_layer.weight`.

Original (github.com/ViTAE-Transformer/ViTPose, also its splits by the authors' tool and by
easy_ViTPose): experts and associate heads are numbered in the order of SKELETONS. Split files have
their expert joined into fc2 already, and may have kept the others, which then mean nothing.

Hugging Face transformers (VitPoseForPoseEstimation): query, key and value stand apart, and of
ViTPose++ all experts are there but the COCO head alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vitpose_ros.core.errors import shorten
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.weights.config_json import SHAPE, read_metadata
from vitpose_ros.core.weights.files import (
    CheckpointError,
    State,
    WeightFile,
    check_tensor,
)

EXPERT_NAMES = tuple(SKELETONS)  # by their number in the foreign layouts

# Original prefixes of the heads, and whose they are.
HEAD_NAMES: Mapping[str, str] = {
    'keypoint_head.': EXPERT_NAMES[0],
    **{f'associate_keypoint_heads.{i}.': name for i, name in enumerate(EXPERT_NAMES[1:])},
}

# Parts of Hugging Face names and of the original ones, to be replaced in this order.
HUGGING_FACE_NAMES = (
    ('backbone.embeddings.position_embeddings', 'backbone.pos_embed'),
    ('backbone.embeddings.patch_embeddings.projection.', 'backbone.patch_embed.proj.'),
    ('backbone.encoder.layer.', 'backbone.blocks.'),
    ('.layernorm_before.', '.norm1.'),
    ('.layernorm_after.', '.norm2.'),
    ('.attention.output.dense.', '.attn.proj.'),
    ('.attention.attention.', '.attn.'),
    ('backbone.layernorm.', 'backbone.last_norm.'),
    ('head.deconv1.', 'keypoint_head.deconv_layers.0.'),
    ('head.batchnorm1.', 'keypoint_head.deconv_layers.1.'),
    ('head.deconv2.', 'keypoint_head.deconv_layers.3.'),
    ('head.batchnorm2.', 'keypoint_head.deconv_layers.4.'),
    ('head.conv.', 'keypoint_head.final_layer.'),
)

# What else people have that looks like ViTPose.
FOREIGN_NAMES = (
    ('backbone.layers.', 'an mmpose 1.x checkpoint; give the original one that it was made from'),
    ('blocks.', 'a backbone alone (of MAE, for example), which has no keypoint head'),
    ('patch_embed.', 'a backbone alone (of MAE, for example), which has no keypoint head'),
)


@dataclass(frozen=True)
class Weights:
    """The tensors of a file under our names."""

    path: Path
    layout: str  # 'vitpose_ros', 'original' or 'Hugging Face'
    state: State
    metadata: Mapping[str, str]  # what is known beside the tensors, in the words of our format
    heads: Mapping[str, str] = field(default_factory=dict)  # original prefixes of the heads' sets

    def saying(self, name: str) -> str:
        """Return where metadata of a name stands, and what it is called there, for an error."""
        if self.layout != 'Hugging Face':
            return f'metadata says {name}'
        theirs = {ours: theirs for theirs, ours in SHAPE.items()}
        return f'config.json says {theirs.get(name, name)}'

    def take(self, name: str) -> Tensor:
        """Return a tensor by our name, or say that it is missing."""
        if name not in self.state:
            raise CheckpointError(
                f"weights '{self.path}': tensor '{self.name_in_file(name)}' is missing; the file "
                'is incomplete, or not of a ViTPose network'
            )
        return self.state[name]

    def shape(self, name: str, dimensions: int) -> torch.Size:
        """Return the shape of a tensor by our name, which must have so many dimensions."""
        shape = self.take(name).shape
        if len(shape) != dimensions or 0 in shape:
            raise CheckpointError(
                f"weights '{self.path}': tensor '{self.name_in_file(name)}' has shape "
                f'{tuple(shape)}, expected {dimensions} dimensions, none of them empty; is this '
                'a ViTPose file?'
            )
        return shape

    def name_in_file(self, name: str) -> str:
        """Return what the file calls a tensor of ours."""
        if self.layout == 'vitpose_ros':
            return name
        for prefix, keypoint_set in self.heads.items():
            name = name.replace(f'heads.{keypoint_set}.', prefix)
        for number, keypoint_set in enumerate(EXPERT_NAMES):
            name = name.replace(f'.experts.{keypoint_set}.', f'.experts.{number}.')
        if self.layout == 'Hugging Face':
            for theirs, original in HUGGING_FACE_NAMES:
                name = name.replace(original, theirs)
        return name


def rename(file: WeightFile, keypoint_sets: Sequence[str] | None = None) -> Weights:
    """Recognise the layout of a file by its tensors, and give them our names.

    keypoint_sets: what the caller wants. It decides only where the tensors leave it open: the
    single head of a split file with 17 keypoints may be COCO's, AP-10K's or APT-36K's, unless the
    file still has the experts.
    """
    # Only training reads the number of batches; the class token is left from pre-training.
    state = {
        name: tensor
        for name, tensor in file.state.items()
        if not name.endswith('num_batches_tracked') and name != 'backbone.cls_token'
    }
    layout = _layout(file.path, state)
    for name, tensor in state.items():
        check_tensor(file.path, name, tensor)
    if layout == 'vitpose_ros':
        return Weights(file.path, layout, state, file.metadata)
    if layout == 'Hugging Face':
        metadata = read_metadata(file.path.with_name('config.json'))
        weights = Weights(file.path, layout, state, metadata)
        return _name_sets(_join_attention(weights), None)
    return _name_sets(Weights(file.path, layout, state, file.metadata), keypoint_sets)


def _layout(path: Path, state: State) -> str:
    """Return what layout the names of tensors are of."""
    if any(name.startswith('heads.') for name in state):
        return 'vitpose_ros'
    if 'backbone.embeddings.position_embeddings' in state:
        return 'Hugging Face'
    if 'backbone.pos_embed' in state:
        return 'original'
    hint = next(
        (words for start, words in FOREIGN_NAMES if any(n.startswith(start) for n in state)),
        'is this a ViTPose file?',
    )
    raise CheckpointError(
        f"weights '{path}': no ViTPose tensors in it (neither 'backbone.pos_embed' nor "
        f"'backbone.embeddings.position_embeddings'; its first is "
        f"'{shorten(min(state, default='none'))}'): {hint}"
    )


def _join_attention(weights: Weights) -> Weights:
    """Give Hugging Face tensors their original names, with fused query, key and value."""
    original: State = {}
    for name, tensor in weights.state.items():
        for theirs, ours in HUGGING_FACE_NAMES:
            name = name.replace(theirs, ours)
        original[name] = tensor
    weights = Weights(weights.path, weights.layout, original, weights.metadata)
    for query in [name for name in original if '.attn.query.' in name]:
        parts = [query.replace('.query.', f'.{part}.') for part in ('query', 'key', 'value')]
        tensors = [weights.take(name) for name in parts]
        if len({tensor.shape for tensor in tensors}) > 1:
            raise CheckpointError(
                f"weights '{weights.path}': tensor '{weights.name_in_file(parts[0])}' and its key "
                f'and value have shapes {[tuple(tensor.shape) for tensor in tensors]}, expected '
                'equal ones; the file is damaged'
            )
        original[query.replace('.query.', '.qkv.')] = torch.cat(tensors)
        for name in parts:
            del original[name]
    return weights


def _name_sets(weights: Weights, keypoint_sets: Sequence[str] | None) -> Weights:
    """Name the numbered experts and heads by their keypoint sets, and drop dead ones."""
    width = weights.shape('backbone.pos_embed', 3)[2]
    fc2_rows = weights.shape('backbone.blocks.0.mlp.fc2.weight', 2)[0]
    if fc2_rows > width:
        raise CheckpointError(
            f"weights '{weights.path}': tensor "
            f"'{weights.name_in_file('backbone.blocks.0.mlp.fc2.weight')}' has {fc2_rows} rows, "
            f'expected {width}, or fewer in a network with experts; is this a ViTPose file?'
        )
    dense = fc2_rows == width
    heads = _heads(weights, keypoint_sets, dense=dense)
    state: State = {}
    for name, tensor in weights.state.items():
        if ours := _our_name(name, heads, experts=not dense):
            if '.final_layer.' in ours and len(heads) > 1 and tensor.dim():
                # Training may pad the targets of all sets to the largest, so that a head has
                # rows at its end that were never taught anything.
                tensor = tensor[: len(SKELETONS[ours.split('.')[1]])]
            state[ours] = tensor
    return Weights(weights.path, weights.layout, state, weights.metadata, heads)


def _heads(
    weights: Weights, keypoint_sets: Sequence[str] | None, *, dense: bool
) -> dict[str, str]:
    """Return the original prefixes of the heads that are usable, and their keypoint sets.

    dense: whether fc2 is whole. Then a network without experts may have several heads, all on
    the same features; but where experts are left in the file, one of them is part of fc2, and
    the other heads mean nothing.
    """
    found = {
        prefix: name
        for prefix, name in HEAD_NAMES.items()
        if any(tensor.startswith(prefix) for tensor in weights.state)
    }
    first = weights.shape('keypoint_head.final_layer.weight', 4)[0]
    left_over = dense and any('.mlp.experts.' in name for name in weights.state)
    if len(found) == 1 or left_over:
        if dense and (expert := _folded_expert(weights.state)):
            keypoint_sets = (expert,)
        return {'keypoint_head.': _set_of_head(weights.path, first, keypoint_sets)}
    rows = {prefix: weights.shape(f'{prefix}final_layer.weight', 4)[0] for prefix in found}
    padded = max(rows.values())
    for prefix, name in found.items():
        if rows[prefix] not in (len(SKELETONS[name]), padded):
            raise CheckpointError(
                f"weights '{weights.path}': {prefix[:-1]} gives {rows[prefix]} keypoints, "
                f"expected {len(SKELETONS[name])}, for keypoint set '{name}'; heads are known by "
                f'their numbers: {", ".join(EXPERT_NAMES)}'
            )
    return found


def _folded_expert(state: State) -> str | None:
    """Return the keypoint set whose expert is part of fc2, if the tensors tell.

    They do where the splitting tool left the experts in the file: one of them is there twice.
    """
    fc2 = state['backbone.blocks.0.mlp.fc2.weight']
    found = [
        name
        for number, name in enumerate(EXPERT_NAMES)
        if (own := state.get(f'backbone.blocks.0.mlp.experts.{number}.weight')) is not None
        and own.dim() == 2
        and torch.equal(fc2[-len(own) :], own)
    ]
    return found[0] if len(found) == 1 else None


def _our_name(name: str, heads: Mapping[str, str], *, experts: bool) -> str | None:
    """Return our name of a tensor, None for one that is dead."""
    for prefix, keypoint_set in heads.items():
        if name.startswith(prefix):
            return f'heads.{keypoint_set}.{name.removeprefix(prefix)}'
    if name.startswith(tuple(HEAD_NAMES)):
        return None
    if found := re.fullmatch(r'(backbone\.blocks\.\d+\.mlp\.experts\.)(\d{1,4})(\.\w+)', name):
        number = int(found[2])
        if experts and number < len(EXPERT_NAMES) and EXPERT_NAMES[number] in heads.values():
            return f'{found[1]}{EXPERT_NAMES[number]}{found[3]}'
        return None
    return name


def _set_of_head(path: Path, keypoints: int, keypoint_sets: Sequence[str] | None) -> str:
    """Return the keypoint set of a file's only head."""
    fitting = [name for name, skeleton in SKELETONS.items() if len(skeleton) == keypoints]
    if not fitting:
        known = ', '.join(f'{name} {len(skeleton)}' for name, skeleton in SKELETONS.items())
        raise CheckpointError(
            f"weights '{path}': the head gives {keypoints} keypoints, which is none of the known "
            f'keypoint sets ({known})'
        )
    return next((name for name in keypoint_sets or () if name in fitting), fitting[0])
