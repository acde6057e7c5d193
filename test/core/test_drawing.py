"""Skeletons in images."""

import cv2
import numpy as np
import pytest

from vitpose_ros.core import SKELETONS, DrawingError, FrameError, Pose, VitposeError, draw_poses
from vitpose_ros.core.drawing import (
    LEFT,
    RIGHT,
    Style,
    label,
    side_colour,
    track_colour,
    track_number,
)
from vitpose_ros.core.tracks.tracks import TrackIds

COCO = SKELETONS['coco']
IMAGE = np.zeros((240, 320, 3), np.uint8)


def pose_at(places, scores):
    return Pose('coco', np.array(places, np.float32), np.array(scores, np.float32))


def spread_pose(scores):
    return pose_at([[10 + 18 * index, 20 + 12 * (index % 5)] for index in range(17)], scores)


def test_joints_are_drawn_where_they_are_in_the_colour_of_their_side():
    pose = spread_pose([1] * 17)
    for channels, order in (('rgb', 1), ('bgr', -1)):
        image = draw_poses(IMAGE, [pose], channels=channels)
        for name, colour in (('left_wrist', LEFT), ('right_ankle', RIGHT)):
            x, y = pose.keypoints[COCO.keypoint_names.index(name)].astype(int)
            assert tuple(image[y, x]) == colour[::order]
    assert not IMAGE.any(), 'the image itself stays as it is'


def test_images_of_four_channels_are_drawn_in_their_order_and_stay_opaque():
    pose = spread_pose([1] * 17)
    rgb = draw_poses(IMAGE, [pose], labels=['person'])
    for channels, order in (('rgba', 1), ('bgra', -1)):
        image = np.dstack((IMAGE, np.full(IMAGE.shape[:2], 255, np.uint8)))
        found = draw_poses(image, [pose], channels=channels, labels=['person'])
        assert np.array_equal(found[..., :3], rgb[..., ::order])
        assert (found[..., 3] == 255).all()


def test_grey_images_are_drawn_in_the_grey_of_the_colours():
    pose = spread_pose([1] * 17)
    found = draw_poses(IMAGE[..., 0], [pose], channels='mono', labels=['person'])
    expected = cv2.cvtColor(draw_poses(IMAGE, [pose], labels=['person']), cv2.COLOR_RGB2GRAY)
    assert found.shape == IMAGE.shape[:2]
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_an_image_that_is_stored_otherwise_is_named():
    with pytest.raises(FrameError, match=r'rgba images have \(h, w, 4\)'):
        draw_poses(IMAGE, [], channels='rgba')


def test_numbers_of_tracks_may_be_an_array():
    poses, style = [spread_pose([1] * 17)] * 2, Style(palette='id')
    numbers = [3, 4]
    assert np.array_equal(
        draw_poses(IMAGE, poses, style=style, numbers=np.array(numbers)),
        draw_poses(IMAGE, poses, style=style, numbers=numbers),
    )


def test_sides_are_told_in_every_set():
    for skeleton in SKELETONS.values():
        colours = [side_colour(name) for name in skeleton.keypoint_names]
        for left, right in skeleton.flip_pairs:
            if not skeleton.keypoint_names[left].startswith('face-'):
                assert {colours[left], colours[right]} == {LEFT, RIGHT}


def test_uncertain_keypoints_and_their_limbs_are_left_out():
    assert not draw_poses(IMAGE, [spread_pose([0.2] * 17)]).any()
    wrists = [0.1] * 9 + [0.9, 0.9] + [0.1] * 6
    drawn = draw_poses(IMAGE, [spread_pose(wrists)]).any(axis=2)
    assert 0 < drawn.sum() < 60, 'two joints and no limb'


def test_keypoints_far_outside_or_not_known_do_no_harm():
    pose = spread_pose([1] * 17)
    pose.keypoints[3] = (1e9, -1e9)
    pose.keypoints[4] = (float('nan'), 5)
    pose.keypoints[5] = (-40, 500)
    assert draw_poses(IMAGE, [pose]).any()


def test_a_view_that_is_not_contiguous_can_be_drawn_on():
    assert draw_poses(IMAGE[:, ::-1], [spread_pose([1] * 17)]).any()


def test_by_id_each_subject_has_its_colour_and_keeps_it():
    pose = spread_pose([1] * 17)
    style = Style(palette='id')
    x, y = pose.keypoints[0].astype(int)
    seen = {
        tuple(draw_poses(IMAGE, [pose], style=style, numbers=[number])[y, x].tolist())
        for number in range(8)
    }
    assert len(seen) == 8
    again = draw_poses(IMAGE, [pose], style=style, numbers=[3])
    assert tuple(again[y, x].tolist()) == track_colour(3)


def test_tracks_have_numbers_that_stay():
    assert track_number('', 4) == 4
    assert track_number('17', 4) == 17
    named = track_number('front-7', 4)
    assert named == track_number('front-7', 0) and 0 <= named < 2**31
    for odd in ('-1', '9' * 40, '\u0663', '\ud800', 'x' * 1000):
        assert 0 <= track_number(odd, 0) < 2**31


def test_lines_are_as_thick_as_asked_for():
    pose = spread_pose([1] * 17)
    drawn = [
        draw_poses(IMAGE, [pose], style=Style(thickness=factor)).any(axis=2).sum()
        for factor in (0.5, 1.0, 3.0, 10.0)
    ]
    assert drawn == sorted(drawn) and drawn[-1] > 2 * drawn[1]


def test_labels_are_written_above_and_inside():
    pose = pose_at([[150 + 2 * index, 100 + 5 * index] for index in range(17)], [1] * 17)
    plain = draw_poses(IMAGE, [pose])
    labelled = draw_poses(IMAGE, [pose], labels=['person 7'])
    rows = np.flatnonzero((plain != labelled).any(axis=(1, 2)))
    assert len(rows) and rows.max() < 100
    off = draw_poses(IMAGE, [pose], labels=['person 7'], style=Style(labels=False))
    assert (off == plain).all()
    top = pose_at([[300, 1]] * 17, [1] * 17)
    assert (draw_poses(IMAGE, [top], labels=['person']) != draw_poses(IMAGE, [top])).any()
    assert (label('dog', '3'), label('dog', ''), label('', '')) == ('dog 3', 'dog', '')
    # Of the tracker's own ids the number, which is that of nobody else in this run.
    assert label('dog', TrackIds('k3f9').take()) == 'dog 1'
    assert label('dog', 'left_hand') == 'dog left_hand'
    assert track_number('k3f9_17', 0) == 17


def test_face_and_hands_are_drawn_small():
    skeleton = SKELETONS['wholebody']
    points = np.full((133, 2), 50, np.float32)
    scores = np.zeros(133, np.float32)

    def drawn(index):
        scores[:] = 0
        scores[index] = 1
        pose = Pose('wholebody', points, scores.copy())
        return draw_poses(IMAGE, [pose], style=Style(thickness=4)).any(axis=2).sum()

    assert drawn(40) < 0.3 * drawn(5)
    assert drawn(17) == drawn(5), 'feet are large'
    names = skeleton.keypoint_names
    assert [names[index] for index in skeleton.fine] == [
        name
        for name in names
        if name.startswith('face-') or '_hand_' in name or name[-1] in '1234'
    ]


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'palette': 'foo'}, "palette is 'foo'; give side or id"),
        ({'thickness': -1}, 'thickness is -1; give a factor from 0.1 to 10'),
        ({'thickness': float('nan')}, 'thickness is nan'),
        ({'thickness': 1e9}, 'from 0.1 to 10'),
        ({'min_score': 'x'}, "min_score is 'x'; give a number"),
        ({'min_score': True}, 'min_score is True; give a number'),
        ({'labels': 'no'}, "labels is 'no'; give True or False"),
    ],
)
def test_what_cannot_be_drawn_is_named(values, words):
    with pytest.raises(VitposeError, match=words):
        Style(**values)


@pytest.mark.parametrize('text', ['\ud800', '\0', 'a\nb', '人', 'x' * 10_000])
def test_any_text_may_be_a_label(text):
    image = np.zeros((80, 80, 3), np.uint8)
    assert draw_poses(image, [spread_pose(np.ones(17))], labels=[text]).any()


def test_labels_are_one_per_pose():
    image = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(VitposeError, match='1 labels for 0 poses; give one per pose'):
        draw_poses(image, [], labels=['a'])
    with pytest.raises(DrawingError, match='a label is 7; give text'):
        draw_poses(image, [spread_pose(np.ones(17))], labels=[7])
    with pytest.raises(VitposeError, match="style is 'side'; give a Style"):
        draw_poses(image, [], style='side')
