"""The convention of crops and decoding is the network's: each runtime does what the file says."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import slow
import torch

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.runtime import onnx, openvino
from vitpose_ros.core.runtime.export import write_onnx
from vitpose_ros.core.weights import load_network, read_checkpoint, write_checkpoint
from vitpose_ros.demo.accuracy import load_truth
from vitpose_ros.demo.sources import DEMO_CLIP

SIZE = (256, 192)
OTHER = ('aic', 'wholebody')  # of the embedded network; in its own training these were plain


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """The embedded network, said to be trained in the other convention."""
    path = tmp_path_factory.mktemp('weights') / 'other.safetensors'
    config, state = read_checkpoint('nano').select(['coco', 'aic', 'wholebody'])
    write_checkpoint(path, replace(config, udp=OTHER), state)
    return path


@pytest.fixture(scope='module')
def person():
    """A picture and a box in it."""
    _, picture = cv2.VideoCapture(str(DEMO_CLIP)).read()
    return picture, load_truth(DEMO_CLIP.with_suffix('.json'))[0][0].box


def by_hand(weights, person, keypoint_set):
    """The keypoints, step by step after the formulas of the reference code."""
    picture, box = person
    udp = keypoint_set in OTHER
    matrix = slow.crop_matrix(box, SIZE, udp=udp)
    crop = cv2.warpAffine(picture[..., ::-1], matrix, SIZE[::-1], flags=cv2.INTER_LINEAR)
    network = load_network(weights, keypoint_set)
    with torch.inference_mode():
        [maps] = network(normalise(torch.from_numpy(crop[None])).contiguous())
    cells = [slow.decode(own, udp=udp) for own in maps[0].double().numpy()]
    points = [slow.to_image(point, box, SIZE, udp=udp) for point, _ in cells]
    return np.array(points), np.array([score for _, score in cells])


@pytest.mark.parametrize(
    ('keypoint_set', 'backend'),
    [
        *(('coco', 'torch'), ('coco', 'openvino'), ('coco', 'onnx')),
        *(('aic', 'torch'), ('aic', 'openvino'), ('aic', 'file')),
    ],
)
def test_each_runtime_crops_and_decodes_as_the_file_says(
    keypoint_set, backend, weights, person, tmp_path
):
    if (backend == 'openvino' and not openvino.is_installed()) or (
        backend in ('onnx', 'file') and not onnx.is_installed()
    ):
        pytest.skip(f'{backend} is not installed')
    model, sets = weights, keypoint_set
    if backend == 'file':
        model, sets, backend = tmp_path / 'other.onnx', None, 'onnx'
        write_onnx(load_network(weights, keypoint_set), model, keypoint_set)
    estimator = PoseEstimator.load(
        model, 'cpu', backend=backend, keypoint_sets=sets, precision='float32'
    )
    picture, box = person
    [[pose]] = estimator.predict([Frame(picture, box[None], 'bgr')])
    points, scores = by_hand(weights, person, keypoint_set)
    plain = scores > 0.25
    assert plain.sum() > 5
    assert np.abs(pose.keypoints - points)[plain].max() < 0.05  # pixels

    # And that is another place than in the convention of the public networks.
    [[other]] = PoseEstimator.load(
        'nano', 'cpu', backend='torch', keypoint_sets=keypoint_set
    ).predict([Frame(picture, box[None], 'bgr')])
    assert np.abs(pose.keypoints - other.keypoints)[plain].mean() > 0.1


def test_sets_of_both_conventions_in_one_batch_get_each_its_own(weights, person):
    picture, box = person
    sets = ['aic', 'coco', 'wholebody', 'aic']
    estimator = PoseEstimator.load(
        weights, 'cpu', backend='torch', keypoint_sets=['coco', 'aic', 'wholebody'],
        precision='float32', flip_test=True,
    )  # fmt: skip
    [together] = estimator.predict(
        [Frame(picture, np.stack([box] * 4), 'bgr', keypoint_sets=sets)]
    )
    for name, pose in zip(sets, together, strict=True):
        alone = PoseEstimator.load(
            weights, 'cpu', backend='torch', keypoint_sets=name, precision='float32',
            flip_test=True,
        )  # fmt: skip
        [[expected]] = alone.predict([Frame(picture, box[None], 'bgr')])
        assert np.abs(pose.keypoints - expected.keypoints)[expected.scores > 0.25].max() < 0.01
