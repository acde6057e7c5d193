"""Conversions in a process of their own."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_weights import tiny_state, write

from vitpose_ros.core.model.vit import ViT
from vitpose_ros.core.runtime import conversion
from vitpose_ros.core.runtime.calibration import calibrate
from vitpose_ros.core.runtime.conversion import convert
from vitpose_ros.core.runtime.export import ExportError, fingerprint
from vitpose_ros.core.weights import load_network, read_checkpoint

SIZE = (64, 48)
LIMIT_S = 300  # for hangs


def in_a_thread(work):
    """Run something in another thread than the main one; return what it raised."""
    raised = []

    def run():
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    return raised


def heatmaps(path, crops):
    """Run a graph in its own runtime."""
    if path.suffix == '.onnx':
        onnxruntime = pytest.importorskip('onnxruntime')
        session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
        return session.run(None, {'crops': crops})[0]
    openvino = pytest.importorskip('openvino')
    return openvino.Core().compile_model(path, 'CPU')([crops])[0]


@pytest.mark.parametrize(
    ('kind', 'suffix', 'quantised'),
    [('openvino', 'xml', True), ('onnx', 'onnx', False)],
)
def test_a_thread_gets_the_same_graphs_from_another_process(
    kind, suffix, quantised, tmp_path, monkeypatch
):
    pytest.importorskip('openvino' if kind == 'openvino' else 'onnxscript')
    weights = write(tmp_path / 'tiny.safetensors', tiny_state())
    network = load_network(weights, image_size=SIZE)
    calibration = None
    if quantised:
        noise = {'coco': np.random.default_rng(0).integers(0, 256, (4, 256, 192, 3), np.uint8)}
        calibration = calibrate(read_checkpoint(weights), noise, 'noise')
    here, there = tmp_path / 'here', tmp_path / 'there'
    for folder in (here, there):
        folder.mkdir()
    convert(network, here, kind, calibration=calibration)
    monkeypatch.setattr(conversion, '_convert', None)  # which this process must not need
    assert in_a_thread(lambda: convert(network, there, kind, calibration=calibration)) == []
    assert {path.name for path in there.iterdir()} == {path.name for path in here.iterdir()}
    crops = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    own, other = (heatmaps(folder / f'coco.{suffix}', crops) for folder in (here, there))
    assert np.array_equal(own, other) and own.shape[0] == 3 and own.std() > 0


def test_a_conversion_for_openvino_runs_the_network_once(tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    network = load_network(write(tmp_path / 'tiny.safetensors', tiny_state()), image_size=SIZE)
    forward, runs = ViT.forward, []
    monkeypatch.setattr(ViT, 'forward', lambda *given: runs.append(1) or forward(*given))
    convert(network, tmp_path, 'openvino')
    assert len(runs) == 1


def test_the_network_that_is_handed_over_is_the_same(tmp_path, monkeypatch):
    network = load_network('nano', ['coco', 'mpii'])
    given = []
    monkeypatch.setattr(
        conversion, 'run_process', lambda _, folder, *__: given.append(conversion._read(folder))
    )
    assert in_a_thread(lambda: convert(network, tmp_path, 'onnx')) == []
    [(other, calibration)] = given
    assert fingerprint(other) == fingerprint(network) and other.config == network.config
    assert calibration is None and not any(w.requires_grad for w in other.parameters())
    assert list(tmp_path.iterdir()) == []


class OnGpu(torch.Tensor):
    """Stands in for a tensor on a GPU, which a process that sees none does not read."""

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_a_network_on_a_gpu_is_handed_over_on_the_processor(tmp_path, monkeypatch):
    network, given = load_network('nano'), []
    there = {name: tensor.as_subclass(OnGpu) for name, tensor in network.state_dict().items()}
    on_gpu = SimpleNamespace(config=network.config, state_dict=lambda: there)
    monkeypatch.setattr(
        conversion, 'run_process', lambda _, folder, *__: given.append(conversion._read(folder))
    )
    assert in_a_thread(lambda: convert(on_gpu, tmp_path, 'onnx')) == []
    assert fingerprint(given[0][0]) == fingerprint(network)


def test_the_process_does_not_look_at_a_gpu_which_may_be_busy(tmp_path, monkeypatch):
    program = (
        'import os, pathlib, sys\n'
        "pathlib.Path(sys.argv[3], 'seen').write_text(os.environ['CUDA_VISIBLE_DEVICES'])\n"
    )
    monkeypatch.setattr(conversion, 'PROGRAM', program)
    network = load_network('nano', image_size=SIZE)
    assert in_a_thread(lambda: convert(network, tmp_path, 'onnx')) == []
    assert (tmp_path / 'seen').read_text() == ''


def test_what_the_process_cannot_do_is_raised_here(tmp_path, monkeypatch):
    network = load_network('nano', image_size=SIZE)
    broken = tmp_path / 'modules' / 'onnxscript'
    broken.mkdir(parents=True)
    (broken / '__init__.py').write_text("raise ImportError('broken on purpose')")
    monkeypatch.syspath_prepend(str(broken.parent))
    folder = tmp_path / 'graphs'
    folder.mkdir()
    [error] = in_a_thread(lambda: convert(network, folder, 'onnx'))
    assert isinstance(error, ExportError) and 'pip install onnx onnxscript' in str(error)
    assert list(folder.iterdir()) == []


def test_the_process_ends_with_the_one_that_started_it(tmp_path):
    code = f"""
import os, threading, time
from pathlib import Path
from vitpose_ros.core.model.vit import ViT
from vitpose_ros.core.runtime import conversion
from vitpose_ros.core.runtime.calibration import calibrate
from vitpose_ros.core.weights import load_network
begun = conversion.subprocess.Popen
def popen(*arguments, **options):
    process = begun(*arguments, **options)
    print(process.pid, flush=True)
    return process
conversion.subprocess.Popen = popen
network = load_network('nano')
threading.Thread(
    target=conversion.convert, args=(network, Path({str(tmp_path)!r}), 'onnx'), daemon=True
).start()
time.sleep({LIMIT_S})
"""
    parent = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert Path(f'/proc/{child}').exists()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + LIMIT_S
    while Path(f'/proc/{child}/exe').exists():
        assert time.monotonic() < deadline, 'it goes on'
        time.sleep(0.1)
