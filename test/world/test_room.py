"""Rooms: depth of planes and boxes where geometry says it is."""

import numpy as np
import pytest

from world.decor import Decor
from world.room import Box, Room
from world.sensors import LENSES, Drive, Lens, Mount, Viewpoint

EYE = 1.2  # metres above the floor


def level(lens=LENSES['640x480']):
    """Return a view along x from the origin."""
    return Viewpoint(lens, Mount(position=(0.0, 0.0, EYE), pitch=0.0).on_robot())


def test_a_wall_ahead_is_as_far_at_every_pixel_and_the_floor_as_rows_say():
    view = level()
    depth, surface = Room().surfaces(view)
    wall = surface == 1  # the high end of x
    assert depth[wall] == pytest.approx(Room().high[0])
    camera = view.lens.camera
    rows = np.arange(view.lens.height)
    floor = surface == 4
    expected = EYE * camera.focal_y / np.maximum(rows - camera.centre_y, 1e-9)
    for row in (400, 430, 479):
        assert floor[row].all()
        assert depth[row] == pytest.approx(expected[row])


def test_a_box_is_before_the_wall_in_the_columns_that_it_covers():
    box = Box((3.0, 0.5, 1.0), (0.25, 0.4, 1.0))
    view = level()
    depth, surface = Room(boxes=(box,)).surfaces(view)
    front = surface == 6 + 0  # the low end of the box's first axis
    assert depth[front] == pytest.approx(2.75)
    camera = view.lens.camera
    columns = np.nonzero(front.any(axis=0))[0]
    left = camera.centre_x - camera.focal_x * 0.9 / 2.75  # y to the left is x to the left
    right = camera.centre_x - camera.focal_x * 0.1 / 2.75
    assert (columns[0], columns[-1]) == (np.ceil(left), np.floor(right))
    rows = np.nonzero(front.any(axis=1))[0]
    top = camera.centre_y - camera.focal_y * (2.0 - EYE) / 2.75
    assert rows[0] == np.ceil(top)


def test_a_turned_box_has_its_edge_ahead():
    box = Box((3.0, 0.0, 1.2), (0.3, 0.3, 1.2), heading=np.pi / 4)
    view = level(Lens.of(641, 481, 60.0))
    depth, surface = Room(boxes=(box,)).surfaces(view)
    middle = depth[240, 320]
    assert surface[240, 320] >= 6
    assert middle == pytest.approx(3.0 - 0.3 * np.sqrt(2), abs=1e-6)


def test_lenses_reduce_to_the_same_directions():
    small, large = LENSES['640x480'].reduced(4), LENSES['640x480']
    # The middle of a pixel is the middle of the sixteen that it stands for.
    mean = large.rays()[8:12, 40:44].reshape(-1, 3).mean(axis=0)
    assert small.rays()[2, 10] == pytest.approx(mean)


@pytest.mark.parametrize('lens', LENSES.values(), ids=list(LENSES))
def test_opengl_projects_as_the_pinhole_does(lens):
    rng = np.random.default_rng(0)
    pose = Drive(turn_degrees=30).pose(1.0) @ Mount(yaw=20, pitch=7).on_robot()
    view = Viewpoint(lens, pose).cropped(17, 5)
    local = rng.uniform((-1, -1, 1), (1, 1, 6), (20, 3))
    points = local @ pose[:3, :3].T + pose[:3, 3]
    pixels, depth = view.project(points)
    camera = lens.camera
    expected = local[:, :2] / local[:, 2:] * camera.focal_x
    expected += (camera.centre_x - 17, camera.centre_y - 5)
    assert pixels == pytest.approx(expected)
    assert depth == pytest.approx(local[:, 2])
    height, width = 300, 400
    clip = np.column_stack((points, np.ones(20))) @ view.matrix((height, width)).T
    ndc = clip[:, :2] / clip[:, 3:]
    assert (ndc[:, 0] + 1) * width / 2 - 0.5 == pytest.approx(pixels[:, 0])
    assert (1 - ndc[:, 1]) * height / 2 - 0.5 == pytest.approx(pixels[:, 1])


def test_a_place_on_a_wall_keeps_its_colour_while_the_robot_turns():
    room = Room()
    decor = Decor(room, np.random.default_rng(5))
    point = np.array([room.high[0], 0.7, 1.3])
    colours = []
    for yaw in (-10.0, 0.0, 12.0):
        view = Viewpoint(LENSES['640x480'], Mount(yaw=yaw).on_robot())
        x, y = np.round(view.project(point[None])[0][0]).astype(int)
        picture = decor.picture(view, *room.surfaces(view))
        colours.append(picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(axis=0))
    assert np.ptp(colours, axis=0).max() < 12
