"""The network against the independent implementation of Hugging Face transformers."""

import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_weights import (
    KEYPOINTS,
    TRUE_SIZES,
    SeveralHeads,
    hugging_face_config,
    hugging_face_model,
)
from safetensors.torch import save_file
from transformers import VitPoseForPoseEstimation

from vitpose_ros.core.model.config import SIZES, ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.weights import layouts, load_network, read_checkpoint, write_checkpoint
from vitpose_ros.core.weights.files import WeightFile
from vitpose_ros.core.weights.layouts import rename
from vitpose_ros.core.weights.shapes import check_shapes, read_config

TOLERANCE = 1e-4  # of heatmap values, float32


def pixels_of(count, seed=0):
    return torch.randn(count, 3, 256, 192, generator=torch.Generator().manual_seed(seed))


def assert_equal(found, expected):
    assert found.shape == expected.shape
    assert expected.std() > 100 * TOLERANCE, 'the comparison needs heatmaps that vary'
    assert (found - expected).abs().max() < TOLERANCE


def assert_parity(network, expected):
    """Compare the heatmaps of some sets; expected: of each the pixels and the heatmaps."""
    pixels = torch.cat([pixels for pixels, _ in expected.values()])
    with torch.inference_mode():
        found = network(pixels, [1] * len(expected))
    for (name, (_, heatmaps)), maps in zip(expected.items(), found, strict=True):
        assert maps.shape == (1, KEYPOINTS[name], 64, 48)
        assert_equal(maps, heatmaps)


def expected_of(reference):
    """Compute the heatmaps of each set, of pixels of its own, by transformers."""
    pixels = {name: pixels_of(1, seed) for seed, name in enumerate(KEYPOINTS)}
    return {name: (own, reference.heatmaps(name, own)) for name, own in pixels.items()}


# Against transformers


@pytest.mark.parametrize(('size', 'simple'), [('small', False), ('small', True), ('base', False)])
def test_each_expert_and_head_equals_transformers(size, simple, tmp_path):
    """Loaded alone, when the expert is folded in, and all six in one network."""
    torch.manual_seed(0)
    reference = SeveralHeads(*TRUE_SIZES[size], simple=simple)
    expected = expected_of(reference)
    torch.save({'state_dict': reference.original()}, tmp_path / 'several_heads.pth')
    checkpoint = read_checkpoint(tmp_path / 'several_heads.pth')
    for name in KEYPOINTS if (size, simple) == ('small', False) else ('wholebody',):
        network = checkpoint.network([name])
        assert network.config.part_features == 0, 'one set: a plain transformer'
        assert_parity(network, {name: expected[name]})
    network = checkpoint.network(list(KEYPOINTS))
    assert network.config.part_features == TRUE_SIZES[size][0] // 4
    assert_parity(network, expected)


@pytest.mark.parametrize(('size', 'simple'), [('small', False), ('base', True)])
def test_a_dense_network_of_each_set_equals_transformers(size, simple, tmp_path):
    torch.manual_seed(1)
    reference = SeveralHeads(*TRUE_SIZES[size], simple=simple, experts=1)
    expected_of_all = expected_of(reference)
    for name in KEYPOINTS if size == 'small' else ('coco', 'wholebody'):
        expected = expected_of_all[name]
        torch.save(reference.split(name), tmp_path / 'dense.pth')
        assert_parity(load_network(tmp_path / 'dense.pth', name), {name: expected})


@pytest.mark.parametrize(('size', 'simple'), [('large', False), ('huge', True)])
def test_the_large_sizes_equal_transformers_at_reduced_depth(size, simple, tmp_path):
    torch.manual_seed(2)
    width, _, heads = TRUE_SIZES[size]
    reference = SeveralHeads(width, 2, heads, simple=simple)
    expected = expected_of(reference)
    torch.save(reference.original(), tmp_path / 'large.pth')
    checkpoint = read_checkpoint(tmp_path / 'large.pth')
    assert_parity(checkpoint.network(list(KEYPOINTS)), expected)
    assert_parity(checkpoint.network('wholebody'), {'wholebody': expected['wholebody']})
    dense = hugging_face_model(width, 2, heads, simple=simple)
    save_file(dense.state_dict(), tmp_path / 'dense.safetensors')
    with torch.inference_mode():
        heatmaps = dense(pixels_of(1)).heatmaps
    assert_parity(load_network(tmp_path / 'dense.safetensors'), {'coco': (pixels_of(1), heatmaps)})


def test_a_wrong_number_of_heads_would_show(tmp_path):
    """What the tensors do not tell makes a difference that the comparisons above see."""
    torch.manual_seed(3)
    state = hugging_face_model(384, 2, 12).state_dict()
    found = []
    for heads in (12, 6):
        save_file(state, tmp_path / 'a.safetensors')
        (tmp_path / 'config.json').write_text(
            json.dumps({'backbone_config': {'num_attention_heads': heads}})
        )
        with torch.inference_mode():
            found += load_network(tmp_path / 'a.safetensors')(pixels_of(1))
    assert (found[0] - found[1]).abs().max() > 10 * TOLERANCE


# The true sizes, without memory for them


def original_names(width, depth, *, part=0, keypoints=(17,), simple=False):
    """Yield names and shapes of the authors' files."""
    yield 'backbone.pos_embed', (1, 193, width)
    yield 'backbone.cls_token', (1, 1, width)
    yield 'backbone.patch_embed.proj.weight', (width, 3, 16, 16)
    yield 'backbone.patch_embed.proj.bias', (width,)
    for block in range(depth):
        for name, rows, columns in (
            ('attn.qkv', 3 * width, width),
            ('attn.proj', width, width),
            ('mlp.fc1', 4 * width, width),
            ('mlp.fc2', width - part, 4 * width),
            *((f'mlp.experts.{expert}', part, 4 * width) for expert in range(6 if part else 0)),
        ):
            yield f'backbone.blocks.{block}.{name}.weight', (rows, columns)
            yield f'backbone.blocks.{block}.{name}.bias', (rows,)
        for norm in ('norm1', 'norm2'):
            yield f'backbone.blocks.{block}.{norm}.weight', (width,)
            yield f'backbone.blocks.{block}.{norm}.bias', (width,)
    yield 'backbone.last_norm.weight', (width,)
    yield 'backbone.last_norm.bias', (width,)
    for head, count in enumerate(keypoints):
        stem = f'associate_keypoint_heads.{head - 1}' if head else 'keypoint_head'
        if simple:
            yield f'{stem}.final_layer.weight', (count, width, 3, 3)
        else:
            yield f'{stem}.deconv_layers.0.weight', (width, 256, 4, 4)
            yield f'{stem}.deconv_layers.3.weight', (256, 256, 4, 4)
            for norm in (1, 4):
                for name in ('weight', 'bias', 'running_mean', 'running_var'):
                    yield f'{stem}.deconv_layers.{norm}.{name}', (256,)
                yield f'{stem}.deconv_layers.{norm}.num_batches_tracked', ()
            yield f'{stem}.final_layer.weight', (count, 256, 1, 1)
        yield f'{stem}.final_layer.bias', (count,)


def load_on_meta(state):
    """Take a state through all that reading does to it, and into a network."""
    with mock.patch.object(layouts, 'check_tensor'):  # there are no numbers
        weights = rename(WeightFile(Path('meta'), {}, state))
    config = read_config(weights)
    check_shapes(weights, config)
    with torch.device('meta'):
        network = ViTPose(config)
    network.load_state_dict(weights.state, strict=True, assign=True)
    return config


@pytest.mark.parametrize('size', TRUE_SIZES)
@pytest.mark.parametrize('simple', [False, True], ids=['classic', 'simple'])
@pytest.mark.parametrize('experts', [False, True], ids=['dense', 'experts'])
def test_original_files_of_every_true_size_fit(size, simple, experts):
    width, depth, heads = TRUE_SIZES[size]
    names = original_names(
        width,
        depth,
        part=width // 4 if experts else 0,
        keypoints=KEYPOINTS.values() if experts else (17,),
        simple=simple,
    )
    state = {name: torch.empty(shape, device='meta') for name, shape in names}
    config = load_on_meta(state)
    assert (config.embed_dim, config.depth, config.num_heads) == (width, depth, heads)
    assert config.decoder == ('simple' if simple else 'classic')
    assert config.num_keypoints == (KEYPOINTS if experts else {'coco': 17})
    assert SIZES[size]['depth'] == depth and SIZES[size]['num_heads'] == heads


@pytest.mark.parametrize('size', TRUE_SIZES)
@pytest.mark.parametrize('experts', [1, 6], ids=['dense', 'experts'])
def test_hugging_face_files_of_every_true_size_fit(size, experts):
    width, depth, heads = TRUE_SIZES[size]
    with torch.device('meta'):
        model = VitPoseForPoseEstimation(hugging_face_config(width, depth, heads, experts=experts))
    config = load_on_meta(model.state_dict())
    assert (config.embed_dim, config.depth, config.num_heads) == (width, depth, heads)
    assert config.part_features == (width // 4 if experts > 1 else 0)


def test_the_giant_size_has_a_billion_parameters_and_its_resolution():
    config = ViTPoseConfig(**SIZES['giant'], num_keypoints={'coco': 17}, image_size=(576, 432))
    with torch.device('meta'):
        network = ViTPose(config)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert 0.9e9 < count < 1.1e9
    assert network(torch.empty(1, 3, 576, 432, device='meta'))[0].shape == (1, 17, 144, 108)


# Several sets in one batch


TINY = ViTPoseConfig(
    embed_dim=64,
    depth=3,
    num_heads=2,
    num_keypoints=KEYPOINTS,
    part_features=16,
    deconv_channels=16,
)


def random_network(config, seed=0):
    torch.manual_seed(seed)
    network = ViTPose(config).eval().requires_grad_(False)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(1 if 'norm' in name or 'running_var' in name else 0, 0.2).abs_()
            if name.endswith('weight') and tensor.ndim > 1:
                tensor.normal_(0, 2 / tensor[0].numel() ** 0.5)
    return network


def test_an_empty_set_takes_part_in_a_batch():
    network = random_network(TINY)
    pixels = pixels_of(3)
    found = network(pixels, [0, 2, 0, 1, 0, 0])
    assert [len(heatmaps) for heatmaps in found] == [0, 2, 0, 1, 0, 0]
    assert [heatmaps.shape[1:] for heatmaps in found] == [
        (count, 64, 48) for count in KEYPOINTS.values()
    ]
    assert torch.allclose(found[3], network(pixels[2:], [0, 0, 0, 1, 0, 0])[3], atol=TOLERANCE)


def test_counts_that_do_not_fit_the_batch_are_named():
    network = random_network(TINY)
    with pytest.raises(ValueError, match=r'counts \[1, 1\] for 2 samples'):
        network(pixels_of(2), [1, 1])
    with pytest.raises(ValueError, match='for 2 samples'):
        network(pixels_of(2), [1, 0, 0, 0, 0, 0])
    with pytest.raises(ValueError, match='for 2 samples'):
        network(pixels_of(2))


# Attention


def naive_attention(attention, tokens, windows, *, pooled):
    """Attend with a loop over heads and tokens; windows: the window of each token."""
    width = tokens.shape[-1]
    size = width // attention.num_heads
    query, key, value = F.linear(tokens, attention.qkv.weight, attention.qkv.bias).split(
        width, dim=-1
    )
    out = torch.zeros_like(tokens)
    for head in range(attention.num_heads):
        part = slice(head * size, (head + 1) * size)
        for sample in range(len(tokens)):
            q, k, v = query[sample, :, part], key[sample, :, part], value[sample, :, part]
            groups = [windows == window for window in sorted(set(windows.tolist()))]
            means = [torch.stack([x[group].mean(0) for group in groups]) for x in (k, v)]
            for token in range(len(windows)):
                own = windows == windows[token]
                seen_k, seen_v = k[own], v[own]
                if pooled:
                    seen_k = torch.cat((seen_k, means[0]))
                    seen_v = torch.cat((seen_v, means[1]))
                weights = (seen_k @ q[token] / size**0.5).softmax(0)
                out[sample, token, part] = weights @ seen_v
    return attention.proj(out)


def windows_of(grid, window, shifted):
    """Number the window of each token: after Swin's shift, cut at the borders by its mask."""
    numbers = np.zeros(grid, dtype=int)
    cuts = []
    for side, length in zip(grid, window, strict=True):
        first = length // 2 if shifted and length < side else 0
        cuts.append([0 if i < first else 1 + (i - first) // length for i in range(side)])
    for y in range(grid[0]):
        for x in range(grid[1]):
            numbers[y, x] = cuts[0][y] * 1000 + cuts[1][x]
    return torch.from_numpy(numbers.ravel())


@pytest.mark.parametrize('kind', ['full', 'window', 'shifted_window', 'pooled_window'])
@pytest.mark.parametrize(
    ('image_size', 'window'),
    [
        ((256, 192), (8, 6)),
        ((256, 192), (4, 4)),
        ((192, 144), (5, 4)),  # windows that do not divide the grid
        ((128, 96), (3, 7)),  # and one that is larger, where nothing shifts
        ((64, 48), (16, 12)),
        ((64, 48), (1, 1)),
    ],
)
def test_each_kind_of_attention_equals_a_naive_one(kind, image_size, window):
    config = replace(TINY, image_size=image_size, window_size=window, attention=kind)
    network = random_network(config)
    attention = network.backbone.blocks[0].attn.double()
    height, width = config.grid_size
    random = torch.Generator().manual_seed(5)
    tokens = torch.randn(2, height * width, 64, generator=random, dtype=torch.float64)
    windows = windows_of(config.grid_size, window, kind == 'shifted_window')
    if kind == 'full':
        windows = torch.zeros_like(windows)
    expected = naive_attention(attention, tokens, windows, pooled=kind == 'pooled_window')
    assert (attention(tokens) - expected).abs().max() < 1e-9


def test_blocks_may_differ_in_their_attention():
    mixed = replace(TINY, attention=('window', 'shifted_window', 'full'))
    network, other = random_network(mixed), random_network(TINY)
    kinds = [block.attn.windows is not None for block in network.backbone.blocks]
    assert kinds == [True, True, False]
    assert network.state_dict().keys() == other.state_dict().keys()
    counts = [1, 0, 0, 0, 0, 0]
    difference = network(pixels_of(1), counts)[0] - other(pixels_of(1), counts)[0]
    assert difference.abs().max() > 100 * TOLERANCE


# Other resolutions


@pytest.mark.parametrize('size', [(384, 288), (576, 432), (224, 224), (128, 96), (48, 160)])
@pytest.mark.parametrize('kind', ['full', 'window', 'shifted_window', 'pooled_window'])
def test_other_resolutions_give_heatmaps_of_a_quarter(size, kind, tmp_path):
    config = replace(TINY, attention=kind)
    write_checkpoint(tmp_path / 'a.safetensors', config, random_network(config).state_dict())
    network = load_network(tmp_path / 'a.safetensors', image_size=size)
    [heatmaps] = network(torch.randn(1, 3, *size))
    assert heatmaps.shape == (1, 17, size[0] // 4, size[1] // 4)
    assert torch.isfinite(heatmaps).all()


def cubic(x, a=-0.75):
    """Evaluate the cubic convolution kernel (Keys, 1981)."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def slow_bicubic(values, size):
    """Resize (h, w, d) to size with plain loops, edges repeated."""
    out = values
    for axis in (0, 1):
        count = out.shape[axis]
        rows = []
        for index in range(size[axis]):
            place = (index + 0.5) * count / size[axis] - 0.5
            first = int(np.floor(place)) - 1
            rows.append(
                sum(
                    cubic(place - i) * np.take(out, min(max(i, 0), count - 1), axis=axis)
                    for i in range(first, first + 4)
                )
            )
        out = np.stack(rows, axis=axis)
    return out


@pytest.mark.parametrize('size', [(384, 288), (128, 96), (224, 224)])
def test_positions_are_interpolated_with_cubics(size, tmp_path):
    state = random_network(TINY).state_dict()
    write_checkpoint(tmp_path / 'a.safetensors', TINY, state)
    network = load_network(tmp_path / 'a.safetensors', image_size=size)
    positions = state['backbone.pos_embed'][0].double().numpy()
    grid = slow_bicubic(positions[1:].reshape(16, 12, 64), (size[0] // 16, size[1] // 16))
    expected = grid.reshape(-1, 64) + positions[0]
    assert np.abs(network.backbone.pos_embed[0].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize('size', [(250, 192), (0, 0), (256, 8), (-16, 192)])
def test_a_resolution_that_does_not_fit_is_named(size):
    with pytest.raises(ValueError, match=r'image size .*give multiples of 16'):
        load_network('nano', image_size=size)


# Configurations


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'num_heads': 5}, 'width 64 does not divide by 5 heads'),
        ({'num_keypoints': {}}, 'no keypoint set'),
        ({'part_features': 64}, '64 part features: give 0 to 63'),
        ({'attention': ('full',)}, 'attention for 1 blocks, the network has 3'),
        ({'attention': 'sliding'}, "attention 'sliding' is not known; give full, window"),
        ({'window_size': (0, 6)}, r'window size \(0, 6\)'),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        replace(TINY, **change)
