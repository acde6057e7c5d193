"""What the diagnostics find, and how bad it is."""

from types import SimpleNamespace

import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus

from vitpose_ros.ros.diagnostics import CameraReport, camera_findings, camera_status
from vitpose_ros.ros.health import Health, State
from vitpose_ros.ros.network import Network

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
WELL = {'paired': 300, 'overwritten': 10, 'too_old': 0, 'failed': 0, 'published': 290}


def report(*, recent=None, latency_ms=40.0, trouble=None, mismatch=None):
    recent = {**WELL, **(recent or {})}
    return CameraReport(
        counts=recent,
        recent=recent,
        hertz={'images': 30.0, 'published': 29.0},
        summary={'latency_median_ms': latency_ms},
        trouble=trouble,
        mismatch=mismatch,
    )


@pytest.mark.parametrize(
    ('changes', 'level', 'words'),
    [
        ({'trouble': ('nothing', 'nothing arrives')}, ERROR, 'nothing arrives'),
        ({'trouble': ('no images', 'no images on')}, ERROR, 'no images on'),
        ({'trouble': ('no pairs', 'do not pair')}, ERROR, 'do not pair'),
        ({'trouble': ('no detections', 'no detections on')}, WARN, 'no detections on'),
        ({'mismatch': 'incompatible'}, WARN, 'incompatible'),
        ({'recent': {'overwritten': 100}}, WARN, 'falling behind: 100 of 300 frames'),
        ({'recent': {'failed': 3}}, WARN, '3 of 300 frames failed'),
        ({'recent': {'failed': 300, 'published': 0}}, ERROR, '300 of 300 frames failed'),
        ({'recent': {'too_old': 20}}, WARN, '20 of 300 frames were older than max_age_ms'),
        ({'recent': {'too_old': 300, 'published': 0}}, ERROR, 'older than max_age_ms'),
        ({'recent': {'images': 8, 'lost_images': 1}}, WARN, 'the middleware lost 1 of 9 images'),
        (
            {'recent': {'detections': 300, 'unpaired_detections': 31}},
            WARN,
            '31 of 300 detections found no image',
        ),
        ({'latency_ms': 90e3}, WARN, 'stamps lie 90.0 s in the past'),
        ({'latency_ms': -300.0}, WARN, 'stamps lie 0.3 s in the future'),
    ],
)
def test_what_is_wrong_is_found(changes, level, words):
    [(found, text)] = camera_findings(report(**changes))
    assert found == level and words in text


def test_what_is_well_is_said_in_a_word():
    assert camera_findings(report()) == []
    status = camera_status('pose_node: front', '/front/image', report())
    assert (status.level, status.message) == (OK, '29.0 Hz, latency 40 ms')
    assert (status.name, status.hardware_id) == ('pose_node: front', '/front/image')
    values = {entry.key: entry.value for entry in status.values}
    assert values['images_hz'] == '30.00' and values['overwritten'] == '10'
    assert values['latency_median_ms'] == '40.00'


def test_the_worst_comes_first():
    status = camera_status(
        'name', 'topic', report(trouble=('no images', 'no images'), recent={'failed': 1})
    )
    assert status.level == ERROR and status.message.startswith('no images; ')


def test_before_the_first_frame_it_waits():
    empty = CameraReport(counts={}, recent={}, hertz={}, summary={})
    status = camera_status('name', 'topic', empty)
    assert (status.level, status.message) == (OK, 'waiting for frames')


def test_few_losses_are_no_trouble():
    few = {'images': 90, 'lost_images': 10, 'detections': 300, 'unpaired_detections': 30}
    assert camera_findings(report(recent=few)) == []


def test_an_idle_camera_has_a_status_that_keeps_its_counts():
    counts = {'images': 7}
    status = camera_status('name', 'topic', CameraReport(counts), idle='disabled by ~/enable')
    assert (status.level, status.message) == (OK, 'disabled by ~/enable')
    assert [(entry.key, entry.value) for entry in status.values] == [('images', '7')]


def test_a_camera_is_not_well_where_the_node_failed():
    status = camera_status('name', 'topic', CameraReport(), idle='unconfigured', broken=True)
    assert (status.level, status.message) == (
        ERROR, 'unconfigured: see the status of the network',
    )  # fmt: skip


def test_too_small_a_queue_is_named_instead_of_the_middleware():
    recent = {'detections': 300, 'unpaired_detections': 100}
    report = CameraReport(recent=recent, crowding='queue_mb = 64 holds 2 of these images')
    [(level, text)] = camera_findings(report)
    assert level == WARN
    assert text == '100 of 300 detections found no image: queue_mb = 64 holds 2 of these images'


def test_what_a_network_loses_while_it_runs_is_said():
    backend = SimpleNamespace(device=torch.device('cpu'), description='torch', warning='')
    estimator = SimpleNamespace(backend=backend, skeletons=(), max_batch=16)
    network = Network('nano', estimator, keypoint_sets=None, detector=None, max_batch=16)
    health = Health(State.ACTIVE, True, network, failure='', fault='', loss='')
    status = health.status('network')
    assert (status.level, status.message) == (OK, 'active')
    backend.warning = 'memory does not suffice for frames'
    status = health.status('network')
    assert (status.level, status.message) == (WARN, 'active; memory does not suffice for frames')


def test_what_the_network_beside_it_could_not_have_is_said_once():
    backend = SimpleNamespace(device=torch.device('cpu'), description='torch', warning='no GPU')
    estimator = SimpleNamespace(backend=backend, skeletons=(), max_batch=16)
    beside = SimpleNamespace(kind='bottom-up', warning='no GPU')
    network = Network('nano', estimator, keypoint_sets=None, detector=beside, max_batch=16)
    assert network.warning == 'no GPU'
    beside.warning = 'no TensorRT'
    assert network.warning == 'no GPU; beside it, no TensorRT'
    backend.warning = ''
    assert network.warning == 'beside it, no TensorRT'
