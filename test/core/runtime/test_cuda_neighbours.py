"""What else happens in the process disturbs neither crops nor keypoints."""

import gc
import threading

import gpu
import numpy as np
import pytest
import torch
from gpu import DEVICE, GREY_LEVELS, ROUNDS, SIZE, first, keypoints_by, random_backend

from vitpose_ros.core import PoseEstimator
from vitpose_ros.core.geometry.crops import Cuts, HostCrops, crop_regions
from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.model.vit import PATCH_PADDING
from vitpose_ros.core.runtime.cuda import CudaCrops
from vitpose_ros.core.runtime.cuda.device import on_device, stream
from vitpose_ros.core.runtime.cuda.network import CENTRE, PATCH_VALUES, SCALE
from vitpose_ros.core.runtime.cuda.sampling import kernel_fault
from vitpose_ros.tools.bench import subjects

pytestmark = gpu.MARKS

RESOLUTIONS = ((640, 480), (1920, 1080), (1280, 720), (3840, 2160))
SAME = 0.05  # pixels
MOST = 32  # crops at once


@pytest.fixture(scope='module')
def frame():
    return gpu.demo_frame()


@pytest.fixture(scope='module')
def estimator():
    return gpu.estimator()


@pytest.fixture(scope='module')
def expected(estimator, frame):
    return keypoints_by(estimator, frame)


def as_crops(cutter):
    """What was cut, (n, h, w, 3) in grey levels, also where it is patches."""
    batch = cutter.batch().cpu()
    if batch.dtype == torch.uint8:
        return batch.int()
    height, width = SIZE
    grid = (-1, height // PATCH_SIZE, width // PATCH_SIZE, PATCH_SIZE, PATCH_SIZE, 3)
    rows = (batch.double() * SCALE + CENTRE).view(grid).permute(0, 1, 3, 2, 4, 5)
    return rows.reshape(-1, height, width, 3)[:, PATCH_PADDING:, PATCH_PADDING:].round().int()


@pytest.mark.parametrize('kind', ['pixels', 'patches'])
def test_crops_of_frames_of_many_sizes_do_not_disturb_each_other(kind, record_property):
    """Both ways by turns, with no pause: memory of the host is used again while copies run."""
    out = None
    if kind == 'patches':
        if fault := kernel_fault(DEVICE):
            pytest.skip(fault)
        rows = MOST * SIZE[0] * SIZE[1] // PATCH_SIZE**2
        out = torch.zeros(rows, PATCH_VALUES, dtype=torch.float16, device=DEVICE)
    crops, host = CudaCrops(SIZE, DEVICE, out=out), HostCrops(SIZE)
    random = np.random.default_rng(0)
    frames = [subjects.frame(16, *size) for size in RESOLUTIONS]
    least = 1.0
    for number in range(4 * ROUNDS):
        counts = random.integers(1, MOST // 2 + 1, 2).tolist()
        chosen = random.integers(0, len(frames), 2)
        places = np.arange(sum(counts))
        if number % 2:  # out of order, as with several keypoint sets
            random.shuffle(places)
        for cutter in (crops, host):
            cutter.begin(sum(counts))
            start = 0
            for part, (index, count) in enumerate(zip(chosen, counts, strict=True)):
                ways = (crops.cut_here, crops.cut_there)
                cut = host.cut if cutter is host else ways[(number + part) % 2]
                regions = crop_regions(frames[index].boxes[:count], SIZE) + number % 5
                own = places[start : start + count]
                cut(frames[index], Cuts(regions, np.ones(count, bool), own))
                start += count
        height, width = (size - PATCH_PADDING * (out is not None) for size in SIZE)
        difference = (as_crops(crops) - host.batch()[:, :height, :width].int()).abs()
        least = min(least, float((difference <= GREY_LEVELS).float().mean()))
    record_property('share of equal values', least)
    assert least > 0.995


def test_a_thread_may_use_the_gpu_while_another_predicts(
    estimator, frame, expected, record_property
):
    stop, found = threading.Event(), []

    def use_the_gpu():
        random = np.random.default_rng(0)
        while not stop.is_set():
            square = torch.randn(1024, 1024, device=DEVICE)
            (square @ square).sum().item()
            torch.empty(int(random.integers(1, 64)) << 18, device=DEVICE)

    def predict():
        for _ in range(4 * ROUNDS):
            found.append(keypoints_by(estimator, frame))

    threads = [threading.Thread(target=run, daemon=True) for run in (use_the_gpu, predict)]
    for thread in threads:
        thread.start()
    threads[1].join()
    stop.set()
    threads[0].join()
    assert len(found) == 4 * ROUNDS
    worst = max(float(np.abs(points - expected).max()) for points in found)
    record_property('largest difference, pixels', worst)
    assert worst < SAME


def test_estimators_that_come_and_go_leave_others_alone(estimator, frame, expected):
    """PyTorch frees what cuBLAS works in with a graph; it must not be what others work in."""
    for _ in range(6 if DEVICE.type == 'cuda' else 1):
        backend = random_backend('nano' if gpu.DRY else 'small')
        other = PoseEstimator(backend, max_batch=estimator.max_batch)
        keypoints_by(other, frame)
        del other
        gc.collect()
        if DEVICE.type == 'cuda':
            torch.cuda.empty_cache()
        rubbish = [torch.full((8 << 20,), float('nan'), device=DEVICE) for _ in range(8)]
        assert np.abs(keypoints_by(estimator, frame) - expected).max() < SAME
        del rubbish


def test_inference_mode_may_be_on_in_some_calls_and_off_in_others(frame, expected):
    other = gpu.estimator()
    with torch.inference_mode():
        keypoints_by(other, frame)
    for count in (21, 4):
        difference = keypoints_by(other, first(frame, count)) - expected[:count]
        assert np.abs(difference).max() < SAME


def test_the_stream_of_the_caller_is_kept_to(estimator, frame, expected):
    for _ in range(ROUNDS):
        with on_device(DEVICE, stream(DEVICE)):
            assert np.abs(keypoints_by(estimator, frame) - expected).max() < SAME
