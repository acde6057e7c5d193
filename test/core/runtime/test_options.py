"""What options take, and that what they don't is named before anything is loaded."""

import re

import numpy as np
import pytest
import torch

from vitpose_ros.core import BackendError, OptionError, Options, PoseEstimator, VitposeError
from vitpose_ros.core.runtime.options import table


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'threads': -1}, 'threads is -1; give 0 to 1024'),
        ({'threads': 10**6}, 'threads is 1000000; give 0 to 1024'),
        ({'threads': '2'}, "threads is '2'; give a whole number, 0 to 1024"),
        ({'threads': 2.0}, 'threads is 2.0; give a whole number, 0 to 1024'),
        ({'threads': True}, 'threads is True'),
        ({'max_batch': 0}, 'max_batch is 0; give 1 to 1024'),
        ({'max_batch': -3}, 'max_batch is -3'),
        ({'max_batch': 2.5}, 'max_batch is 2.5'),
        ({'device': 'cpu:0'}, "device is 'cpu:0'; give auto, cpu, cuda, cuda:N or intel_gpu"),
        ({'device': 'tpu'}, "device is 'tpu'"),
        ({'device': None}, 'device is None'),
        ({'backend': 'tpu'}, "backend is 'tpu'; give auto, torch, onnx or openvino"),
        (
            {'precision': 'half'},
            "precision is 'half'; give auto, float32, bfloat16, float16 or int",
        ),
        ({'cuda_graphs': 'on'}, "cuda_graphs is 'on'; give auto or off"),
        ({'decode': 'dark'}, "decode is 'dark'; give reference or hybrid"),
        ({'image_size': 256}, 'image_size is 256; give height and width'),
        ({'image_size': (16, 16)}, r'image_size is (16, 16); .* multiples of 16 from 32 to 1024'),
        ({'image_size': (256, 190)}, r'image_size is (256, 190)'),
        ({'image_size': (256, 192, 3)}, r'image_size is (256, 192, 3)'),
        ({'image_size': (256.0, 192.0)}, r'image_size is (256.0, 192.0)'),
        (
            {'keypoint_sets': 'coco,body'},
            "keypoint_sets has 'body', which is not known; known are",
        ),
        ({'keypoint_sets': ['coco', 7]}, 'keypoint_sets has 7'),
        ({'keypoint_sets': 5}, 'keypoint_sets is 5; give names'),
        ({'keypoint_sets': np.array(5)}, 'keypoint_sets is array(5)'),
        ({'keypoint_sets': [['coco']]}, "keypoint_sets has .'coco'., which is not known"),
        ({'threads': np.array(2)}, 'threads is array(2); give a whole number, 0 to 1024'),
        ({'device': 'cuda:128'}, "device is 'cuda:128'"),  # PyTorch would take it for another
        ({'threads': np.array([1, 2])}, 'threads is array'),
        ({'backend': np.array(['onnx', 'torch'])}, 'backend is array'),
        ({'image_size': (True, 192)}, 'image_size is (True, 192)'),
        ({'flip_test': 'yes'}, "flip_test is 'yes'; give True or False"),
    ],
)
def test_what_an_option_does_not_take_is_named_with_what_it_takes(values, words):
    pattern = words.replace('(', r'\(').replace(')', r'\)')
    with pytest.raises(OptionError, match=pattern):
        Options(**values)
    values = dict(values)
    with pytest.raises(VitposeError, match=pattern):
        PoseEstimator.load('absent.pth', values.pop('device', 'cpu'), **values)


def test_an_option_that_does_not_exist_is_named():
    with pytest.raises(OptionError, match="there is no option 'treads'; give device, backend"):
        PoseEstimator.load('absent.pth', 'cpu', treads=2)


def test_values_are_what_they_are_whatever_type_they_came_in():
    options = Options(
        keypoint_sets=' coco, aic,coco', image_size=[256, 192], threads=np.int64(2), max_batch=1
    )
    assert type(options.threads) is int
    assert options.keypoint_sets == ('coco', 'aic') and options.image_size == (256, 192)
    of_numpy = Options(image_size=np.array([256, 192]), flip_test=np.True_)
    assert of_numpy == Options(image_size=(256, 192), flip_test=True)
    assert type(of_numpy.flip_test) is bool
    assert (
        Options(keypoint_sets='').keypoint_sets is None is Options(keypoint_sets=[]).keypoint_sets
    )
    assert Options(keypoint_sets=('aic', 'coco')).keypoint_sets == ('aic', 'coco')
    assert Options(device='cuda:12').device == 'cuda:12'
    assert Options(device=torch.device('cuda', 1)).device == 'cuda:1'
    assert Options(keypoint_sets=np.array(['coco'])).keypoint_sets == ('coco',)
    assert hash(options) == hash(Options(**vars(options)))


@pytest.mark.parametrize('count', [0, -3, 1.5, None])
def test_an_estimator_takes_no_max_batch_that_options_do_not(count):
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', image_size=(64, 48))
    with pytest.raises(OptionError, match=f'max_batch is {count}; give .*1 to 1024'):
        estimator.max_batch = count
    assert estimator.max_batch == 16
    with pytest.raises(OptionError, match=f'max_batch is {count}; give .*1 to 1024'):
        PoseEstimator(estimator.backend, max_batch=count)


@pytest.mark.parametrize('model', [None, 5])
def test_what_names_no_model_is_named(model):
    with pytest.raises(OptionError, match=f'model is {model}; give a known name, a file'):
        PoseEstimator.load(model, 'cpu')


def test_each_option_is_described():
    for entry in table():
        text = entry.metadata['description']
        assert re.match('[a-z]', text) and not text.endswith('.'), entry.name


def test_more_threads_than_the_machine_has_do_no_harm():
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', threads=4, image_size=(64, 48))
    assert np.isfinite(estimator.estimate(np.zeros((64, 48, 3), np.uint8)).scores).all()


def test_several_keypoint_sets_may_come_as_one_string():
    estimator = PoseEstimator.load(
        'nano', 'cpu', backend='torch', keypoint_sets='coco,aic', image_size=(64, 48)
    )
    assert [skeleton.name for skeleton in estimator.skeletons] == ['coco', 'aic']


def test_the_size_of_a_file_for_onnx_runtime_is_its_own(tmp_path):
    (tmp_path / 'x.onnx').write_bytes(b'')
    with pytest.raises(OptionError, match=r"image_size is \(256, 192\), but '.*x.onnx' is of one"):
        PoseEstimator.load(tmp_path / 'x.onnx', 'cpu', image_size=(256, 192))


def test_all_errors_have_one_base():
    from vitpose_ros import core

    errors = [getattr(core, name) for name in core.__all__ if name.endswith('Error')]
    assert len(errors) > 7 and all(issubclass(error, VitposeError) for error in errors)
    assert issubclass(core.DeviceError, BackendError)
