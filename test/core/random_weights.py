"""Networks with random weights, and their files in every layout, made without the package."""

import re

import pytest
import torch

# Of the public checkpoints: width, depth, attention heads.
TRUE_SIZES = {
    'small': (384, 12, 12),
    'base': (768, 12, 12),
    'large': (1024, 24, 16),
    'huge': (1280, 32, 16),
}
# In the order of the experts, with the keypoints of each head.
KEYPOINTS = {'coco': 17, 'aic': 14, 'mpii': 16, 'ap10k': 17, 'apt36k': 17, 'wholebody': 133}


def reference():
    """Import transformers; what goes without it may run where it is not installed."""
    return pytest.importorskip(
        'transformers', reason='the reference is not installed', exc_type=ImportError
    )


def hugging_face_config(width, depth, heads, *, keypoints=17, simple=False, experts=1):
    """Make the configuration of a model of transformers."""
    backbone = reference().VitPoseBackboneConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_experts=experts,
        part_features=width // 4 if experts > 1 else 0,
        out_indices=[depth],
    )
    return reference().VitPoseConfig(
        backbone_config=backbone, num_labels=keypoints, use_simple_decoder=simple
    )


def hugging_face_model(width, depth, heads, **options):
    """Make a model of transformers whose every tensor matters."""
    model = (
        reference()
        .VitPoseForPoseEstimation(hugging_face_config(width, depth, heads, **options))
        .eval()
    )
    # Fresh normalisation layers and biases do nothing; give them what a mistake would show.
    for name, tensor in model.state_dict().items():
        if 'norm' in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
        elif 'position_embeddings' in name or name.endswith('bias'):
            tensor.normal_(0, 0.2)
        elif 'query' in name or 'key' in name:
            tensor.mul_(4)  # so that attention is not the same everywhere
    return model


class SeveralHeads:
    """A backbone of transformers with experts, and a head of transformers for each set."""

    def __init__(self, width, depth, heads, *, simple=False, experts=6):
        self.models = {}
        for name, keypoints in KEYPOINTS.items():
            # The first has the backbone; the others bring their heads.
            shape = (width, depth if not self.models else 1, heads)
            self.models[name] = hugging_face_model(
                *shape, keypoints=keypoints, simple=simple, experts=experts
            )
        self.backbone = self.models['coco'].backbone
        for model in self.models.values():
            model.backbone = self.backbone
        self.experts = experts

    def heatmaps(self, name, pixels):
        """Compute the heatmaps of a set: its expert, then its head."""
        index = torch.full((len(pixels),), list(KEYPOINTS).index(name))
        with torch.inference_mode():
            return self.models[name](
                pixels, dataset_index=index if self.experts > 1 else None
            ).heatmaps

    def original(self):
        """Return the state as the authors save several heads."""
        state = original_state(self.models['coco'].state_dict())
        for number, model in enumerate(list(self.models.values())[1:]):
            for name, tensor in original_state(model.state_dict()).items():
                if name.startswith('keypoint_head.'):
                    name = name.replace('keypoint_head', f'associate_keypoint_heads.{number}')
                    state[name] = tensor
        return state

    def split(self, name, *, leftovers=False):
        """Return the state that the authors' splitting tool makes for a set.

        leftovers: with the experts, and of COCO the other heads, which it forgets to remove.
        """
        state = self.original()
        number = list(KEYPOINTS).index(name)
        if number:
            for key in [key for key in state if key.startswith('keypoint_head.')]:
                state[key] = state[
                    key.replace('keypoint_head', f'associate_keypoint_heads.{number - 1}')
                ]
        for key in [key for key in state if '.fc2.' in key and self.experts > 1]:
            expert = state[key.replace('.fc2.', f'.experts.{number}.')]
            state[key] = torch.cat((state[key], expert))
        return {
            key: tensor
            for key, tensor in state.items()
            if leftovers or not ('experts' in key or key.startswith('associate'))
        }


def original_state(state):
    """Rename the tensors of transformers to what the authors call them; join query, key, value."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, original in (
            (r'embeddings\.patch_embeddings\.projection', 'patch_embed.proj'),
            (r'embeddings\.position_embeddings', 'pos_embed'),
            (r'encoder\.layer\.', 'blocks.'),
            (r'attention\.output\.dense', 'attn.proj'),
            (r'layernorm_before', 'norm1'),
            (r'layernorm_after', 'norm2'),
            (r'^backbone\.layernorm', 'backbone.last_norm'),
            (r'^head\.deconv1', 'keypoint_head.deconv_layers.0'),
            (r'^head\.batchnorm1', 'keypoint_head.deconv_layers.1'),
            (r'^head\.deconv2', 'keypoint_head.deconv_layers.3'),
            (r'^head\.batchnorm2', 'keypoint_head.deconv_layers.4'),
            (r'^head\.conv', 'keypoint_head.final_layer'),
        ):
            name = re.sub(pattern, original, name)
        renamed[name] = tensor
    for name in [name for name in renamed if 'attention.attention.query' in name]:
        parts = [renamed.pop(name.replace('query', part)) for part in ('query', 'key', 'value')]
        renamed[name.replace('attention.attention.query', 'attn.qkv')] = torch.cat(parts)
    return renamed
