"""The network against the independent implementation of Hugging Face transformers."""

import pytest
import torch
from safetensors.torch import save_file
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

from vitpose_ros.core.checkpoints import load_network

TOLERANCE = 1e-4  # of heatmap values, float32
SIZES = {'small': (384, 12, 12), 'base': (768, 12, 12)}  # width, depth, heads


def hugging_face_model(size, *, simple=False, experts=1, seed=0):
    width, depth, heads = SIZES[size]
    backbone = VitPoseBackboneConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_experts=experts,
        part_features=width // 4 if experts > 1 else 0,
        out_indices=[depth],
    )
    torch.manual_seed(seed)
    model = VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=simple)
    ).eval()
    # Fresh normalisation layers do nothing; give them something that a mistake would show.
    for name, tensor in model.state_dict().items():
        if 'norm' in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
        elif 'position_embeddings' in name:
            tensor.normal_(0, 0.2)
    return model


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('simple', [False, True], ids=['classic', 'simple'])
@pytest.mark.parametrize('experts', [1, 6], ids=['dense', 'experts'])
def test_heatmaps_equal_those_of_transformers(size, simple, experts, tmp_path):
    model = hugging_face_model(size, simple=simple, experts=experts)
    save_file(model.state_dict(), tmp_path / 'model.safetensors')
    network = load_network(tmp_path / 'model.safetensors')
    pixels = torch.randn(2, 3, 256, 192)
    with torch.inference_mode():
        index = torch.zeros(2, dtype=torch.long) if experts > 1 else None
        expected = model(pixels, dataset_index=index).heatmaps
        found = network(pixels)
    assert found.shape == expected.shape == (2, 17, 64, 48)
    assert expected.std() > 100 * TOLERANCE, 'the comparison needs heatmaps that vary'
    assert (found - expected).abs().max() < TOLERANCE


def test_a_directory_with_its_configuration_loads_too(tmp_path):
    model = hugging_face_model('small')
    model.save_pretrained(tmp_path)
    pixels = torch.randn(1, 3, 256, 192)
    with torch.inference_mode():
        expected = model(pixels).heatmaps
        found = load_network(tmp_path)(pixels)
    assert (found - expected).abs().max() < TOLERANCE
