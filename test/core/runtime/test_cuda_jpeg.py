"""JPEG files that a GPU decodes: on a processor with OpenCV as the decoder, and for real."""

import logging
import re
import sys
import warnings
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from gpu import GREY_LEVELS

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.geometry.crops import Cuts, HostCrops
from vitpose_ros.core.jpeg import read_jpeg
from vitpose_ros.core.runtime.cuda import CudaBackend, CudaCrops, Tuning
from vitpose_ros.core.runtime.cuda import backend as backend_module
from vitpose_ros.core.runtime.cuda.crops import Costs
from vitpose_ros.core.runtime.cuda.jpeg import DECODERS, choose_decoder, trial_file
from vitpose_ros.core.weights import load_network
from vitpose_ros.tools.bench import on_gpu, subjects

CPU = torch.device('cpu')
SIZE = (64, 48)
FILE = trial_file(240, 320)
BOXES = np.array([[20, 10, 120, 200], [150, 40, 260, 230], [-30, 60, 70, 300]], np.float32)
LAYOUTS = ['interleaved', 'planar']
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB')


def opencv(layout='interleaved', log=None):
    """A decoder of OpenCV's, in the layout of nvImageCodec's or torchvision's."""

    def decode(data):
        if log is not None:
            log.append(len(data))
        pixels = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        image = torch.from_numpy(pixels)
        if layout == 'planar':
            image = image.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        return image

    return decode


def failing(error):
    def decode(data):
        raise error

    return decode


def jpeg_frame(channels='bgr'):
    return Frame(read_jpeg(FILE), BOXES, channels)


def regions(count):
    random = np.random.default_rng(1)
    return np.column_stack(
        (random.uniform(-60, 250, (count, 2)), random.uniform(20, 200, (count, 2)))
    )


def cut(crops, frame, *, count=7):
    """Cut regions of one frame in two parts, to places in no order."""
    given, udp, places = regions(count), np.arange(count) % 2 == 0, np.arange(count)[::-1].copy()
    crops.begin(count)
    for part in (slice(0, 3), slice(3, count)):
        crops.cut(frame, Cuts(given[part], udp[part], places[part]))
    return crops.batch().cpu().int()


def expected(channels='bgr'):
    pixels = cv2.imdecode(FILE, cv2.IMREAD_COLOR)
    return cut(HostCrops(SIZE), Frame(pixels, BOXES, channels))


@pytest.mark.parametrize('channels', ['bgr', 'rgb'])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_crops_of_a_decoded_file_are_those_of_the_host(layout, channels):
    decoded = []
    crops = CudaCrops(SIZE, CPU, decoder=opencv(layout, decoded), costs=Costs(0, 0, 9, 9))
    frame = jpeg_frame(channels)
    difference = cut(crops, frame) - expected(channels)
    assert difference.abs().max() <= GREY_LEVELS
    assert (difference.abs() > GREY_LEVELS - 1).float().mean() < 1e-3
    assert not frame.image.is_decoded
    assert len(decoded) == 1, 'once for all parts of a frame'
    cut(crops, jpeg_frame(channels))
    assert len(decoded) == 2


def test_pixels_that_are_there_are_not_decoded_again():
    decoded = []
    frame, host = jpeg_frame(), HostCrops(SIZE)
    assert frame.pixels is not None
    cut(CudaCrops(SIZE, CPU, decoder=opencv(log=decoded)), frame)
    cut(CudaCrops(SIZE, CPU), jpeg_frame())
    cut(host, frame)
    assert not decoded


def test_a_frame_without_subjects_is_not_decoded():
    decoded = []
    crops = CudaCrops(SIZE, CPU, decoder=opencv(log=decoded))
    crops.begin(0)
    crops.cut(jpeg_frame(), Cuts(np.empty((0, 4)), np.empty(0, bool), np.empty(0, int)))
    assert not decoded and len(crops.batch()) == 0


@pytest.mark.parametrize(
    ('decoder', 'words'),
    [
        (failing(RuntimeError('nvjpeg: bad\n stream')), 'RuntimeError: nvjpeg: bad stream'),
        (lambda _: torch.zeros(3, 240, 320, dtype=torch.uint8), r'\(3, 240, 320\), expected'),
    ],
)
@pytest.mark.parametrize('costs', [Costs(0, 0, 9, 9), Costs(9, 9, 0, 0)])
def test_a_decoder_that_fails_costs_nothing_but_time(decoder, words, costs, caplog):
    crops = CudaCrops(SIZE, CPU, decoder=decoder, costs=costs)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (cut(crops, jpeg_frame()) - expected()).abs().max() <= GREY_LEVELS
    [message] = caplog.messages
    assert re.search(words, message) and 'decoded on the processor' in message


def test_where_memory_runs_out_opencv_decodes_from_then_on():
    calls = []

    def decode(data):
        calls.append(1)
        raise OUT_OF_MEMORY

    crops = CudaCrops(SIZE, CPU, decoder=decode, costs=Costs(1, 1, 0, 0))
    for _ in range(2):
        assert (cut(crops, jpeg_frame()) - expected()).abs().max() <= GREY_LEVELS
    assert len(calls) == 1


def test_a_lost_device_is_not_hidden():
    lost = RuntimeError('CUDA error: an illegal memory access was encountered')
    with pytest.raises(RuntimeError, match='illegal memory access'):
        cut(CudaCrops(SIZE, CPU, decoder=failing(lost)), jpeg_frame())


def test_the_benchmark_decodes_anew_each_time():
    decoded = []
    crops = CudaCrops((256, 192), CPU, decoder=opencv(log=decoded))
    frame = subjects.frame(2, 640, 480)
    run = on_gpu.jpeg_run(crops, frame, CPU)
    run()
    run()
    assert len(decoded) == 2
    found = crops.batch().int()
    on_gpu.crops_run(crops, crops.cut, frame, CPU)()
    assert (found - crops.batch().int()).abs().float().mean() < 3  # what JPEG loses


# The trial


def test_a_decoder_that_is_right_is_taken():
    for layout in LAYOUTS:
        decoder, words = choose_decoder(CPU, {'mine': lambda _, layout=layout: opencv(layout)})
        assert decoder is not None and words.startswith('taken: mine: OpenCV')


def swapped(_):
    return lambda data: opencv()(data).flip(2)


def absent(_):
    raise ModuleNotFoundError("No module named 'mine'")


def broken(_):
    raise RuntimeError('operator torchvision::nms does not exist')


@pytest.mark.parametrize(
    ('maker', 'words'),
    [
        (swapped, r'mine differs by \d\d\.\d grey levels'),
        (absent, "mine ModuleNotFoundError: No module named 'mine'"),
        (broken, 'mine RuntimeError: operator torchvision::nms does not exist'),
        (lambda _: failing(RuntimeError('not compiled with nvJPEG')), 'not compiled with nvJPEG'),
        (lambda _: lambda data: opencv()(data)[:-1], r'it gives \(44, 61, 3\) torch.uint8 on cpu'),
    ],
)
def test_a_decoder_that_fails_or_differs_is_not_taken(maker, words):
    decoder, text = choose_decoder(CPU, {'mine': maker})
    assert decoder is None and text.startswith('not taken: ')
    assert re.search(words, text)


def test_colours_that_are_repeated_pass_the_trial():
    """As nvJPEG gives them: OpenCV interpolates."""

    def repeating(data):
        image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2YCrCb)
        height, width = image.shape[:2]
        half = ((width + 1) // 2, (height + 1) // 2)
        colours = cv2.resize(image[..., 1:], half, interpolation=cv2.INTER_AREA)
        image[..., 1:] = colours.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_YCrCb2RGB))

    decoder, words = choose_decoder(CPU, {'mine': lambda _: repeating})
    assert decoder is repeating, words


def test_a_backend_takes_jpeg_files_where_there_is_a_decoder(monkeypatch):
    found = opencv('planar'), 'taken: for a test'
    monkeypatch.setattr(backend_module, 'choose_decoder', lambda _: found)
    network = load_network('nano', image_size=SIZE)
    backend = CudaBackend(network, device='cpu', precision='float32')
    assert backend.decodes_jpeg and backend.ways['gpu_jpeg'] == 'taken: for a test'
    frame, plain = jpeg_frame(), Frame(cv2.imdecode(FILE, 1), BOXES, 'bgr')
    estimator = PoseEstimator(backend, max_batch=2)  # so that the frame goes in parts
    [poses], [others] = estimator.predict([frame]), estimator.predict([plain])
    assert not frame.image.is_decoded and len(poses) == 3
    for pose, other in zip(poses, others, strict=True):
        assert np.allclose(pose.keypoints, other.keypoints, atol=0.3 * GREY_LEVELS)
    off = CudaBackend(network, device='cpu', precision='float32', tuning=Tuning(gpu_jpeg=False))
    assert not off.decodes_jpeg and off.ways['gpu_jpeg'] == 'off'


def test_a_decoder_that_fails_is_in_the_warning_of_the_backend(monkeypatch):
    found = failing(RuntimeError('nvjpeg: bad stream')), 'taken: for a test'
    monkeypatch.setattr(backend_module, 'choose_decoder', lambda _: found)
    network = load_network('nano', image_size=SIZE)
    backend = CudaBackend(network, device='cpu', precision='float32')
    assert not backend.warning
    PoseEstimator(backend, max_batch=2).predict([jpeg_frame(), jpeg_frame()])
    assert backend.warning.count('a JPEG cannot be decoded on cpu') == 1
    assert re.match('lost: a JPEG .*nvjpeg: bad stream', backend.ways['gpu_jpeg'])


def test_files_whose_memory_is_not_writeable_are_decoded_without_a_warning(monkeypatch):
    io = SimpleNamespace(
        ImageReadMode=SimpleNamespace(RGB='rgb'),
        decode_jpeg=lambda data, **_: opencv()(data.numpy()).permute(2, 0, 1),
    )
    monkeypatch.setitem(sys.modules, 'torchvision', SimpleNamespace(io=io))
    monkeypatch.setitem(sys.modules, 'torchvision.io', io)
    file = np.frombuffer(FILE.tobytes(), np.uint8)  # as a message's
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            found = DECODERS['torchvision'](CPU)(file)
    finally:
        torch.set_warn_always(False)
    assert torch.equal(found, opencv()(FILE))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
@pytest.mark.parametrize('name', DECODERS)
def test_a_gpu_decodes_what_opencv_does(name):
    pytest.importorskip({'torchvision': 'torchvision', 'nvImageCodec': 'nvidia.nvimgcodec'}[name])
    device = torch.device('cuda', 0)
    decoder = DECODERS[name](device)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR]
    for factor in ('420', '422', '444'):
        sampling = getattr(cv2, f'IMWRITE_JPEG_SAMPLING_FACTOR_{factor}')
        for height, width in ((240, 320), (241, 317)):
            pixels = cv2.resize(cv2.imdecode(FILE, cv2.IMREAD_COLOR), (width, height))
            _, file = cv2.imencode('.jpg', pixels, [*settings, sampling])
            found = decoder(file).cpu().numpy()
            other = cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            assert np.abs(found.astype(int) - other).mean() < 2
    crops = CudaCrops(SIZE, device, decoder=decoder)
    for _ in range(20):  # memory that is used again while another stream writes
        frame = jpeg_frame()
        assert (cut(crops, frame) - expected()).abs().float().mean() < 2
        assert not frame.image.is_decoded
