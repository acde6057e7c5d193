"""The clip of the demonstration: what is kept beside it agrees with itself."""

import json

import numpy as np
import pytest

from vitpose_ros.demo.accuracy import load_truth
from vitpose_ros.demo.sources import DEMO_CLIP
from vitpose_ros.demo.space import load_space
from world import clip

OUTSIDE, SEEN = 0, 2


@pytest.fixture(scope='module')
def space():
    return load_space(DEMO_CLIP)


@pytest.fixture(scope='module')
def truth():
    return load_truth(DEMO_CLIP.with_suffix('.json'))


def test_joints_in_space_lie_on_the_keypoints_of_the_image(space, truth):
    checked = 0
    for bodies, people in zip(space.frames, truth, strict=True):
        assert [body.id for body in bodies] == [person.id for person in people]
        for body, person in zip(bodies, people, strict=True):
            inside = person.keypoints[:, 2] != OUTSIDE
            apart = space.camera.project(body.joints) - person.keypoints[:, :2]
            assert np.abs(apart[inside]).max() < 0.05  # pixels
            checked += inside.sum()
    assert checked > 4000


def test_joints_that_are_seen_in_space_are_seen_in_the_image(space, truth):
    """Except where others hide them, which the image's truth does not mark."""
    in_space = np.array([[body.seen for body in bodies] for bodies in space.frames])
    in_image = np.array([[p.keypoints[:, 2] == SEEN for p in people] for people in truth])
    assert (in_space & ~in_image).mean() < 0.01
    hidden = (in_image & ~in_space).mean(axis=(1, 2))
    assert (hidden > 0.1).sum() > 5  # frames in which somebody is behind somebody
    assert (hidden < 0.02).sum() > 20


def test_depth_has_the_surface_before_the_joints_that_are_seen(space):
    height, width = space.depths.shape[1:]
    assert space.depths.shape == (clip.FRAMES, clip.HEIGHT // 2, clip.WIDTH // 2)
    before = []
    for depth, bodies in zip(space.depths, space.frames, strict=True):
        for body in bodies:
            joints = body.joints[body.seen]
            x, y = np.rint(space.camera.scaled(0.5, 0.5).project(joints)).astype(int).T
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            found = depth[y[inside], x[inside]] / 1000
            z = joints[inside, 2]
            before.append(((z - found) / (1 + 0.05 * z**2))[found > 0])
    before = np.concatenate(before)
    assert len(before) > 2500
    assert 0.0 < np.median(before) < 0.15
    assert (np.abs(before) < 0.2).mean() > 0.85


def test_depth_is_made_again_as_it_is(people, space):
    from world import clip_depth

    stage = clip_depth.SpaceStage(people)
    image, truth = stage.frame(60)
    path = DEMO_CLIP.with_name('demo_clip_depth.json')
    kept = json.loads(path.read_text())
    assert (kept['per_step'], kept['offset']) == (clip_depth.per_step(), clip_depth.OFFSET)
    for person, entry in zip(truth, kept['frames'][60], strict=True):
        assert person['id'] == entry['id']
        assert np.allclose(person['joints'], entry['joints'], atol=1e-3)
    metres = np.where(
        image == 0, 0, clip_depth.per_step() / (image.astype(float) + clip_depth.OFFSET)
    )
    same = np.abs(metres - space.depths[60] / 1000) < 0.001
    assert same.mean() > 0.98  # another OpenGL may draw edges otherwise
