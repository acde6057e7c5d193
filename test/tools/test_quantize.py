"""models quantize: from images to a calibration that the backends take."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vitpose_ros.core import PoseEstimator
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.runtime.int8 import calibration_of, calibration_path, read_calibration
from vitpose_ros.core.weights import load_network, path_of
from vitpose_ros.core.weights.known import KNOWN_MODELS
from vitpose_ros.tools import models, quantize
from vitpose_ros.tools.quantize import crops_of_images

pytest.importorskip('onnxruntime', reason='quantising needs ONNX Runtime')

SMALL = ('--image-size', '64x48')


@pytest.fixture
def images(tmp_path):
    """A folder of three pictures of noise, and something else."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), noise)
    (folder / 'notes.txt').write_text('not a picture')
    return folder


@pytest.fixture
def model(tmp_path):
    """The embedded network without its calibration."""
    return Path(shutil.copy(path_of(KNOWN_MODELS['nano']), tmp_path))


def boxes(folder, rows):
    path = folder / f'{len(rows)} boxes.json'
    content = {
        'images': [{'id': number, 'file_name': f'{number}.png'} for number in range(3)],
        'annotations': [{'image_id': image, 'bbox': box} for image, box in rows],
    }
    path.write_text(json.dumps(content))
    return path


def test_a_network_is_calibrated_exported_and_run(model, images, tmp_path, capsys):
    assert models.main(['info', str(model)]) == 0
    assert 'not calibrated; ros2 run vitpose_ros models quantize' in capsys.readouterr().out
    assert models.main(['quantize', str(model), str(images), *SMALL]) == 0
    assert 'calibrates coco, aic, mpii, wholebody for precision int8, on 3' in (
        capsys.readouterr().out
    )
    assert models.main(['info', str(model)]) == 0
    assert f'on crops (coco 3, aic 3, mpii 3, wholebody 3) of images of {images}, by onnx' in (
        capsys.readouterr().out
    )
    made = read_calibration(calibration_path(model)).made
    assert made['image_size'] == [64, 48] and 'percentile 99.99' in made['method']
    out = tmp_path / 'nano.onnx'
    assert models.main(['export', str(model), str(out), '--int8', *SMALL]) == 0
    assert PoseEstimator.load(out, 'cpu').backend.precision == 'int8'


def test_ranges_are_percentiles_of_what_the_layers_get(model, images):
    arguments = ['quantize', str(model), str(images), '--keypoint-sets', 'coco', *SMALL]
    assert models.main(arguments) == 0
    network = load_network(model, 'coco', image_size=(64, 48))
    seen = {}
    for name, layer in network.named_modules():
        layer.register_forward_pre_hook(lambda _, a, name=name: seen.update({name: a[0]}))
    crops = crops_of_images(images, None, ['coco'], (64, 48))['coco']
    network(normalise(torch.from_numpy(crops)).contiguous())
    ranges = calibration_of(network, calibration_path(model)).ranges['coco']
    for name, largest in ranges.items():
        magnitudes = seen[name].abs().flatten()
        assert magnitudes.quantile(0.999) < largest <= magnitudes.max() + 1e-4, name
        assert (magnitudes > largest).sum() <= 1e-4 * len(magnitudes) + 2


def test_boxes_say_where_the_subjects_are(images):
    path = boxes(images, [(0, [10, 20, 40, 60]), (2, [50, 5, 30, 40]), (1, [0, 0, 0, 9])])
    cut = crops_of_images(images, path, ['coco', 'aic'], (64, 48))
    assert {name: own.shape for name, own in cut.items()} == {
        'coco': (2, 64, 48, 3),
        'aic': (2, 64, 48, 3),
    }
    assert (cut['coco'] != cut['aic']).any()  # each in the crops of its convention
    image = cv2.cvtColor(cv2.imread(str(images / '0.png')), cv2.COLOR_BGR2RGB)
    centre = image[50, 30].astype(int)  # of the first box
    assert np.abs(cut['coco'][0][31:33, 23:25].astype(int) - centre).mean(axis=2).min() < 60
    few = crops_of_images(images, None, ['coco'], (64, 48), most=2)['coco']
    whole = crops_of_images(images, None, ['coco'], (64, 48))['coco']
    assert np.array_equal(few, whole[[0, 2]])


def test_what_cannot_be_quantised_says_why(model, images, tmp_path, capsys):
    deep, listed = tmp_path / 'deep.json', tmp_path / 'listed.json'
    deep.write_text('[' * 100_000)
    listed.write_text('[]')
    for arguments, words in (
        ([str(model), str(tmp_path / 'absent')], 'no such folder'),
        ([str(model), str(model.parent)], 'no images there'),
        ([str(model), str(images), '--boxes', str(images / 'notes.txt')], "notes.txt': not JSON"),
        (
            [str(model), str(images), '--boxes', str(deep)],
            "deep.json': not JSON (maximum recursion",
        ),
        ([str(model), str(images), '--boxes', str(listed)], 'not a COCO annotation file'),
        (
            [str(model), str(images), '--boxes', str(boxes(images, [(7, [1, 2, 9, 9])] * 3))],
            'no image has the id 7 of a box',
        ),
        (
            [str(model), str(images), '--boxes', str(boxes(images, [(0, [1, 2, 9])] * 2))],
            'an annotation has bbox [1, 2, 9], expected 4 numbers',
        ),
        ([str(model), str(images), '--boxes', str(boxes(images, []))], 'no boxes there'),
        (
            [str(model), str(images), '--boxes', str(boxes(images, [(0, [500, 0, 9, 9])]))],
            'nothing is left to calibrate with',
        ),
        ([str(model), str(images), '--keypoint-sets', 'foo'], "keypoint set 'foo' is not known"),
        ([str(model), str(images), str(tmp_path / 'out.txt'), *SMALL], 'ends in .json'),
    ):
        assert models.main(['quantize', *arguments]) == 1
        assert words in capsys.readouterr().err
    assert models.main(['export', str(model), str(tmp_path / 'nano.onnx'), '--int8']) == 1
    assert 'is absent, which precision int8 needs' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        models.main(['quantize', str(model), str(images), '--limit', '0'])
    assert '0 is too few; give 1 or more' in capsys.readouterr().err
    assert not calibration_path(model).exists()


def test_what_is_not_usable_is_left_out_and_named(model, images, capsys, caplog):
    (images / '0.png').write_bytes(b'nonsense')
    (images / 'a folder.png').mkdir()
    arguments = ['quantize', str(model), str(images), '--keypoint-sets', 'coco', *SMALL]
    assert models.main(arguments) == 0
    assert f"left out: '{images / '0.png'}': no image there that OpenCV reads" in caplog.messages
    assert 'for precision int8, on 2 crops' in capsys.readouterr().out
    path = boxes(images, [(1, [500, 0, 9, 9]), (2, [10, 10, 40, 50])])
    assert models.main([*arguments, '--boxes', str(path)]) == 0
    assert any('lies wholly outside' in message for message in caplog.messages)
    assert 'on 1 crops' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('out', 'words'),
    [('absent/out.json', 'there is no folder'), ('out.txt', 'give a name that ends in .json')],
)
def test_what_cannot_be_written_fails_before_the_work(
    out, words, model, images, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(quantize, 'calibrate', lambda *_, **__: pytest.fail('the work began'))
    assert models.main(['quantize', str(model), str(images), str(tmp_path / out), *SMALL]) == 1
    assert words in capsys.readouterr().err


def test_the_calibration_that_comes_with_the_package_is_not_written_over(tmp_path, capsys):
    before = calibration_path('nano').read_bytes()
    assert models.main(['quantize', 'nano', str(tmp_path)]) == 1
    assert "'nano' comes with a calibration that others use, too" in capsys.readouterr().err
    assert calibration_path('nano').read_bytes() == before
