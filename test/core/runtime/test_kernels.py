"""Triton kernels give what the core gives: on a GPU, or by Triton's interpreter on a processor."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gpu import GREY_LEVELS

from vitpose_ros.core import PoseEstimator
from vitpose_ros.core.geometry.crops import Cuts, HostCrops
from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.core.runtime.base import Decoding
from vitpose_ros.core.runtime.cuda import CudaBackend, kernels
from vitpose_ros.core.runtime.cuda.crops import Costs, CudaCrops
from vitpose_ros.core.runtime.cuda.network import cut_patches
from vitpose_ros.core.runtime.cuda.sampling import ORDERS, kernel_fault, sample
from vitpose_ros.core.types import CHANNEL_COUNT, Frame
from vitpose_ros.core.weights import load_network

pytest.importorskip('triton')
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        os.environ.get('GPU_CHECK_DRY') == '1', reason='the interpreter takes its time'
    ),
]

HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device('cuda' if HAS_GPU else 'cpu')
SIZE = (64, 48)
MAP_NORESERVE = 0x4000  # Python has no name for it before 3.13
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def kernels_are_usable(monkeypatch):
    """Without a GPU, and here alone, let Triton's interpreter run them; see conftest.py."""
    monkeypatch.setattr(kernels, 'INTERPRETED', not HAS_GPU)
    assert kernels.fault(DEVICE) == ''


def test_a_trial_takes_the_kernel():
    assert kernel_fault(DEVICE) == ''


def picture(channels, height=90, width=120):
    random = np.random.default_rng(0)
    shape = (height, width) + (() if channels == 'mono' else (CHANNEL_COUNT[channels],))
    return random.integers(0, 256, shape, dtype=np.uint8)


def regions(count):
    """Regions in the picture, over its borders, and far outside; whole and odd numbers."""
    random = np.random.default_rng(1)
    low = random.uniform(-40, 100, (count, 2))
    height = random.uniform(20, 150, count)
    found = np.column_stack((low, 0.75 * height, height))
    found[0] = (0, 0, 48, 64)
    found[1] = (-500, -500, 30, 40)
    return found


@pytest.mark.parametrize('channels', sorted(ORDERS))
def test_crops_of_the_kernel_are_those_of_opencv(channels):
    frame = Frame(picture(channels), np.empty((0, 4)), channels)
    given, udp = regions(5), np.arange(5) % 2 == 0
    places = np.array([3, 0, 4, 1, 2])
    host, crops = HostCrops(SIZE), CudaCrops(SIZE, DEVICE, fault='', costs=Costs(0, 0, 0, 0))
    for cutter, cut in ((host, host.cut), (crops, crops.cut_there)):
        cutter.begin(5)
        cut(frame, Cuts(given, udp, places))
    difference = crops.batch().cpu().int() - host.batch().int()
    assert difference.abs().max() <= GREY_LEVELS
    assert (difference.abs() > GREY_LEVELS - 1).float().mean() < 1e-3
    assert host.batch()[0].max() == 0  # the one outside
    assert host.batch().float().std() > 30


@pytest.mark.skipif(HAS_GPU, reason='of memory that nobody touches only a processor has enough')
def test_frames_may_have_more_than_two_gib():
    """Rows that are 1 GiB apart; an offset of 32 bits would read 4 GiB before the third."""
    try:
        room = mmap.mmap(-1, (1 << 32) + 4096, flags=mmap.MAP_PRIVATE | MAP_NORESERVE)
    except OSError as error:
        pytest.skip(f'no address space: {error}')
    memory = torch.frombuffer(room, dtype=torch.uint8)
    frame = memory.as_strided((3, 8, 3), (1 << 30, 3, 1), 1 << 31)
    frame.copy_(torch.from_numpy(picture('rgb', 3, 8)))
    table = torch.tensor([[0.0, 0, 1, 1, 0]]).view(torch.uint8)
    crop = torch.full((1, 16, 16, 3), 9, dtype=torch.uint8)
    sample(frame, table, 'rgb', crop, (16, 16))
    assert torch.equal(crop[0, :3, :8], frame)


def test_planes_give_the_crops_of_pixels():
    pixels = torch.from_numpy(picture('rgb')).to(DEVICE)
    planes = pixels.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    rows = np.column_stack((regions(4)[:, :2], np.full((4, 2), 1.3), range(4)))
    table = torch.from_numpy(rows.astype(np.float32)).to(DEVICE).view(torch.uint8)
    crops = torch.empty(2, 4, *SIZE, 3, dtype=torch.uint8, device=DEVICE)
    for channels in ('rgb', 'bgr'):
        sample(pixels, table, channels, crops[0], SIZE)
        sample(planes, table, channels, crops[1], SIZE)
        assert torch.equal(crops[0], crops[1]) and crops.float().std() > 30


def test_frames_of_all_sizes_share_a_kernel(tmp_path):
    """Triton compiles anew where a number is 1 or divisible by 16, unless it is told not to."""
    code = (
        'from vitpose_ros.core.runtime.cuda.triton_kernels import sample_patches as kernel\n'
        'print(*(p.name for p in kernel.params if not p.is_constexpr and not p.do_not_specialize))'
    )
    environment = {**os.environ, 'TRITON_INTERPRET': '0', 'TRITON_CACHE_DIR': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.split() == ['regions', 'padding', 'out', 'grid_height', 'grid_width']


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_patches_of_the_kernel_are_those_of_its_crops(dtype):
    image = torch.from_numpy(picture('bgr')).to(DEVICE)
    rows = np.column_stack((regions(3)[:, :2], np.full((3, 2), 1.3), (2, 0, 1)))
    table = torch.from_numpy(rows.astype(np.float32)).to(DEVICE).view(torch.uint8)
    crops = torch.empty(3, *SIZE, 3, dtype=torch.uint8, device=DEVICE)
    patches = torch.full((3 * 12, 768), torch.nan, dtype=dtype, device=DEVICE)
    sample(image, table, 'bgr', crops, SIZE)
    sample(image, table, 'bgr', patches, SIZE)
    assert torch.equal(patches, cut_patches(crops, dtype))


@pytest.mark.parametrize('width', [48, 192, 1280])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_sum_and_norm_are_those_of_pytorch(width, dtype):
    torch.manual_seed(0)
    tokens, added = (torch.randn(6, width, device=DEVICE).to(dtype) for _ in range(2))
    weight, bias = (torch.randn(width, device=DEVICE).to(dtype) for _ in range(2))
    for other in (added, added[:2]):  # for each row its own, or again and again
        total, normed = kernels.add_norm(tokens, other, weight, bias, 1e-6)
        expected = tokens.float() + other.float().repeat(6 // len(other), 1)
        tolerance = {torch.float32: 1e-6, torch.float16: 2e-3}[dtype]
        assert torch.allclose(total.float(), expected, rtol=tolerance, atol=tolerance)
        expected = F.layer_norm(expected, (width,), weight.float(), bias.float(), 1e-6)
        assert torch.allclose(normed.float(), expected, rtol=5 * tolerance, atol=9 * tolerance)


def test_each_sample_is_multiplied_with_the_weights_of_its_expert():
    torch.manual_seed(0)
    n, t, hidden, part, sets = 4, 70, 64, 72, 3  # more rows and columns than a block has
    values = torch.randn(n * t, hidden, device=DEVICE).half()
    weight = (torch.randn(sets, hidden, part, device=DEVICE) / 8).half()
    bias = torch.randn(sets, 1, part, device=DEVICE).half()
    index = torch.tensor([2, 0, 1, 0], device=DEVICE)
    whole = torch.full((n * t, part + 10), torch.nan, device=DEVICE).half()
    kernels.expert_product(values, weight, bias, index, whole[:, 10:])
    expected = torch.baddbmm(
        bias.float()[index], values.float().view(n, t, hidden), weight.float()[index]
    ).flatten(0, 1)
    assert torch.allclose(whole[:, 10:].float(), expected, rtol=2e-3, atol=5e-3)
    assert whole[:, :10].isnan().all()  # what is beside is left alone


@pytest.mark.parametrize('udp', [True, False])
@pytest.mark.parametrize('hybrid', [True, False])
@pytest.mark.parametrize('size', [(64, 48), (8, 6)])
def test_peaks_of_the_kernel_are_those_of_float64(udp, hybrid, size):
    random = np.random.default_rng(0)
    centres = random.uniform(-0.5, (size[1] - 0.5, size[0] - 0.5), (1, 20, 2))
    x, y = np.arange(size[1]), np.arange(size[0])
    rows = np.exp(-((y - centres[..., 1:]) ** 2) / 8)
    columns = np.exp(-((x - centres[..., :1]) ** 2) / 8)
    maps = torch.from_numpy(rows[..., :, None] * columns[..., None, :]).float()
    maps += 0.01 * torch.from_numpy(random.standard_normal(maps.shape)).float()
    maps[0, 0] = -1.0  # nothing positive
    maps[0, 1] = 0.5  # flat
    maps[0, 2, 1, 1] = torch.nan
    for dtype in (torch.float32, torch.float16):
        given = maps.to(dtype)
        points, scores = decode(given, udp=udp, hybrid=hybrid)
        out = torch.full((1, 20, 7), 9.0, device=DEVICE)
        kernels.decode(given.to(DEVICE), out, udp=udp, hybrid=hybrid)
        out = out.cpu()
        assert out[0, 2, :3].isnan().all() and points[0, 2].isnan().all()
        sure = [number for number in range(20) if number != 2]
        assert (out[0, sure, :2] - points[0, sure]).abs().max() < 1e-3
        assert torch.equal(out[0, sure, 2], scores[0, sure])
        assert (out[..., 3:] == 9.0).all()


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from vitpose_ros.core.runtime.cuda import triton_kernels

def check(kernel, types, **constants):
    names = kernel.arg_names
    signature = {**dict.fromkeys(names, 'i32'), **types, **dict.fromkeys(constants, 'constexpr')}
    source = ASTSource(kernel, {name: signature[name] for name in names}, constants)
    assert compile(source, target=GPUTarget('cuda', 90, 32)).asm['cubin']

half = '*fp16'
for out in ('*u8', half):
    types = {'frame': '*u8', 'regions': '*fp32', 'padding': half, 'out': out}
    check(triton_kernels.sample_patches, types, CENTRE=128.0, SCALE=64.0, PATCH=16, MARGIN=2,
          AS_PATCHES=out == half)
types = dict.fromkeys(('tokens', 'added', 'weight', 'bias', 'total', 'normed'), half)
check(triton_kernels.add_norm, {**types, 'eps': 'fp32'}, BLOCK=1024)
types = {**dict.fromkeys(('hidden', 'weight', 'bias', 'out'), half), 'index': '*i64'}
check(triton_kernels.expert_product, types, HIDDEN=3072, ROWS=64, COLUMNS=64, DEPTH=32)
types = {'maps': half, 'cells': '*i64', **dict.fromkeys(('rows', 'columns', 'out'), '*fp32'),
         **dict.fromkeys(('lowest', 'highest', 'largest_step', 'eps', 'flat'), 'fp32')}
for udp in (True, False):
    check(triton_kernels.decode, types, UDP=udp, PH=13, PW=13, BLOCK=4096)
"""


def test_kernels_compile_for_an_h100(tmp_path):
    """To the machine code of a card that need not be here."""
    environment = {**os.environ, 'TRITON_INTERPRET': '0', 'TRITON_CACHE_DIR': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, '-c', COMPILE], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_a_pass_with_kernels_gives_what_the_plain_network_gives(monkeypatch):
    """Crops that the kernel cut into patches, and such as come as pixels."""
    network = load_network('nano', image_size=SIZE)
    backend = CudaBackend(network, device=str(DEVICE), precision='float32')
    taken = {way for way, text in backend.ways.items() if text.startswith('taken')}
    assert {'kernel_crops', 'kernel_decode'} <= taken
    # On a GPU these are taken where they are faster, too.
    assert HAS_GPU or {'patch_product', 'fused_norms'} <= taken
    estimator = PoseEstimator(backend, max_batch=1)
    assert HAS_GPU or backend._passes.patches
    on_cpu = PoseEstimator.load(
        'nano', 'cpu', backend='torch', precision='float32', image_size=SIZE
    )
    frame = Frame(picture('bgr'), np.array([[20, 10, 60, 80]]), 'bgr')
    for way in ('cut_there', 'cut_here'):
        monkeypatch.setattr(
            estimator._passes._crops, 'cut', getattr(estimator._passes._crops, way)
        )
        for pose, other in zip(*(e.predict([frame])[0] for e in (estimator, on_cpu)), strict=True):
            sure = other.scores > 0.05
            assert sure.sum() > 3
            assert np.abs(pose.keypoints - other.keypoints)[sure].max() < 0.05 * GREY_LEVELS
    pixels = torch.randint(0, 256, (1, *SIZE, 3), dtype=torch.uint8).to(DEVICE)
    [found], _ = backend.keypoints(pixels, [1], Decoding())
    [expected], _ = on_cpu.backend.keypoints(pixels.cpu(), [1], Decoding())
    assert np.allclose(found.scores, expected.scores, atol=1e-4)
