"""The poses of a frame: arrays, their parts, and what they become elsewhere."""

import json
import sys

import numpy as np
import pytest

from vitpose_ros.core import SKELETONS, Frame, Pose, Poses, VitposeError
from vitpose_ros.core.drawing import draw_poses

NAN = float('nan')
BOXES = [[10, 20, 40, 80], [1, 2, 33.5, 64], [5, 5, 9, 9]]


def filled(skeletons, *, with_spread=False, **about):
    """Poses of which all numbers differ: subject, keypoint and axis tell them."""
    frame = Frame(np.zeros((100, 200, 3), np.uint8), BOXES[: len(skeletons)], **about)
    poses = Poses.to_be_filled(frame, skeletons, with_spread=with_spread)
    for row, name in enumerate(skeletons):
        k = len(SKELETONS[name])
        poses.keypoints[row, :k] = 30 * row + np.arange(2 * k).reshape(k, 2) / 4
        poses.scores[row, :k] = (row + 3) / 10
        if with_spread:
            poses.heatmap_spread[row, :k] = [[row + 1, 0.5], [0.5, row + 2]]
    return poses


def test_arrays_have_a_row_per_box_in_their_order():
    poses = filled(['coco', 'coco'])
    assert len(poses) == 2 and (poses.width, poses.height) == (200, 100)
    assert poses.keypoints.shape == (2, 17, 2) and poses.scores.shape == (2, 17)
    assert poses.boxes.tolist() == BOXES[:2] and poses.skeletons == ('coco', 'coco')
    assert poses.heatmap_spread is None


def test_subjects_of_other_skeletons_are_padded_and_found_without_padding():
    poses = filled(['coco', 'wholebody', 'mpii'], with_spread=True)
    assert poses.keypoints.shape == (3, 133, 2)
    assert np.isnan(poses.keypoints[0, 17:]).all() and np.isnan(poses.scores[2, 16:]).all()
    for pose, name in zip(poses, poses.skeletons, strict=True):
        k = len(SKELETONS[name])
        assert isinstance(pose, Pose) and pose.skeleton == name
        assert pose.keypoints.shape == (k, 2) and pose.heatmap_spread.shape == (k, 2, 2)
        assert np.isfinite(pose.keypoints).all() and np.isfinite(pose.score)
    own = poses.of_skeleton('mpii')
    assert own.keypoints.shape == (1, 16, 2) and own.boxes.tolist() == BOXES[2:]
    assert np.array_equal(own.keypoints[0], poses[2].keypoints)
    assert len(poses.of_skeleton('aic')) == 0


@pytest.mark.parametrize(
    ('index', 'rows'),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        (np.array([True, False, True]), [0, 2]),
        ([], []),
    ],
)
def test_slices_masks_and_indices_give_the_same_type_with_all_that_is_known(index, rows):
    poses = filled(
        ['coco'] * 3,
        with_spread=True,
        class_names=['person', 'dog', 'cat'],
        track_ids=['7', '8', '9'],
        box_scores=[0.9, 0.8, NAN],
    )
    part = poses[index]
    assert isinstance(part, Poses) and len(part) == len(rows)
    for position, row in enumerate(rows):
        assert np.array_equal(part[position].keypoints, poses[row].keypoints)
        assert part.boxes[position].tolist() == BOXES[row]
        assert part.class_names[position] == poses.class_names[row]
        assert part.track_ids[position] == poses.track_ids[row]
        assert part.to_dict()['subjects'][position] == poses.to_dict()['subjects'][row]


def test_views_share_the_memory_of_the_arrays():
    poses = filled(['coco', 'coco'])
    assert np.shares_memory(poses[1].keypoints, poses.keypoints)
    assert np.shares_memory(poses[1:].scores, poses.scores)


def test_a_dictionary_is_json_and_says_all():
    poses = filled(
        ['coco', 'mpii'],
        class_names=['person', 'dog'],
        track_ids=['7', '8'],
        box_scores=[0.5, NAN],
    )
    poses.keypoints[1, 3] = NAN
    found = json.loads(json.dumps(poses.to_dict(), allow_nan=False))
    assert (found['width'], found['height']) == (200, 100)
    first, second = found['subjects']
    assert first['bbox'] == [10, 20, 30, 60] and second['bbox'] == [1, 2, 32.5, 62]
    assert (first['class'], first['score'], first['track_id']) == ('person', 0.5, '7')
    assert second['score'] is None and second['skeleton'] == 'mpii'
    assert len(first['keypoints']) == 3 * 17 and len(second['keypoints']) == 3 * 16
    assert first['keypoints'][3:6] == [0.5, 0.75, 0.3]
    assert second['keypoints'][9:12] == [None, None, 0.4]
    assert 'heatmap_spread' not in first
    spread = filled(['coco'], with_spread=True).to_dict()['subjects'][0]['heatmap_spread']
    assert spread[:3] == [1, 0.5, 2] and len(spread) == 3 * 17
    unknown = filled(['coco']).to_dict()['subjects'][0]
    assert unknown['class'] is unknown['score'] is unknown['track_id'] is None


def test_whatever_is_said_of_boxes_can_be_drawn_and_written():
    image = np.zeros((100, 200, 3), np.uint8)
    poses = filled(
        ['coco', 'coco'],
        class_names=[None, 'dog'],
        track_ids=np.array([7, 8]),
        box_scores=[None, float('inf')],
    )
    expected = draw_poses(image, poses, labels=['7', 'dog 8'], numbers=[7, 8])
    assert np.array_equal(poses.draw(image), expected)
    first, second = json.loads(json.dumps(poses.to_dict(), allow_nan=False))['subjects']
    assert (first['class'], first['track_id'], first['score']) == (None, '7', None)
    assert (second['class'], second['track_id'], second['score']) == ('dog', '8', None)


def test_coco_results_are_what_pycocotools_takes():
    coco = pytest.importorskip('pycocotools.coco')
    poses = filled(['coco', 'coco'], box_scores=[0.5, NAN])
    poses.keypoints[1, 3] = NAN
    truth = coco.COCO()
    truth.dataset = {
        'images': [{'id': 4}],
        'categories': [{'id': 1}],
        'annotations': [],
        'info': {},
    }
    truth.createIndex()
    results = poses.to_coco(4)
    assert [result['score'] for result in results] == pytest.approx([0.15, 0.4])
    assert results[0]['bbox'] == [10, 20, 30, 60]
    assert results[1]['keypoints'][9:12] == [0.0, 0.0, 0.4]
    loaded = truth.loadRes(json.loads(json.dumps(results)))
    assert len(loaded.anns) == 2
    poses.scores[1, 4] = NAN
    assert [result['score'] for result in poses.to_coco(4)] == [pytest.approx(0.15), 0.0]


def test_supervision_takes_the_arrays(monkeypatch):
    supervision = pytest.importorskip('supervision')
    poses = filled(['coco', 'mpii'], class_names=['person', 'dog'], track_ids=['7', '8'])
    found = poses.to_supervision()
    assert isinstance(found, supervision.KeyPoints) and len(found) == 2
    assert np.array_equal(found.xy[0], poses.keypoints[0])
    assert found.xy[1, 16].tolist() == [0, 0]
    assert found[1].data['class_name'].tolist() == ['dog']


def test_without_supervision_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(VitposeError, match='pip install supervision'):
        filled(['coco']).to_supervision()


def test_drawing_writes_classes_and_tracks():
    poses = filled(['coco', 'coco'], class_names=['person', 'dog'], track_ids=['7', '8'])
    image = np.full((100, 200, 3), 90, np.uint8)
    expected = draw_poses(image, poses, labels=['person 7', 'dog 8'], numbers=[7, 8])
    assert np.array_equal(poses.draw(image), expected)
    assert not np.array_equal(poses.draw(image), draw_poses(image, poses))
    assert np.array_equal(filled(['coco']).draw(image), draw_poses(image, filled(['coco'])))
    assert (image == 90).all()


@pytest.mark.parametrize('index', ['coco', None, 1.5, True, [[0]]])
def test_what_is_no_index_is_named(index):
    [poses] = [Poses(9, 9, np.zeros((1, 4), np.float32), ('coco',), *empty(1))]
    with pytest.raises(IndexError, match='give a number, a slice, a mask or a list'):
        poses[index]


def empty(count):
    return np.zeros((count, 17, 2), np.float32), np.zeros((count, 17), np.float32)


def test_a_whole_number_of_numpy_is_one_subject():
    poses = filled(['coco', 'mpii'])
    for index in (np.int32(1), np.array(1), -1):
        assert poses[index].skeleton == 'mpii'
        assert np.array_equal(poses[index].keypoints, poses[1].keypoints)


def test_numbers_of_numpy_become_those_of_json():
    poses = Poses(9, 9, np.array([[0, 0, 5, 5]], np.float32), ('coco',), *empty(1))
    [result] = poses.to_coco(np.int64(3), np.int64(1))
    assert json.loads(json.dumps(result))['image_id'] == 3
