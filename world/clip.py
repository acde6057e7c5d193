"""The demonstration's clip: three people walk and wave before a fixed camera, and the truth of it.

Writes demo_clip.mp4 and demo_clip.json: of each frame the people with their boxes (x, y, width,
height, in pixels, cut at the image's border) and COCO keypoints (x, y, visibility: 2 seen, 1
hidden by the own body, 0 outside the image; what other people hide is not marked).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from world import panoramas, poses
from world.bodies import SKIN, Person
from world.camera import Camera
from world.directions import UP, turn
from world.legs import LEGS, gait
from world.look import Look
from world.people import People

Array = NDArray[Any]

SEED = 20_000  # no seed of training
FRAMES, RATE = 90, 15  # frames, Hz
WIDTH, HEIGHT = 640, 480
FOCAL = 560.0  # pixels
SCENE = 'lobby'  # held out from training
EYE = (0.0, 0.0, 1.55)  # metres, in the world
PITCH = np.radians(5)  # down
# Pixels have whole coordinates in their centres. Layers are drawn with the image's corner half a
# pixel of theirs too far to the left and up, and twice as large: a quarter of a pixel.
INTRINSICS = PinholeCamera(FOCAL, FOCAL, WIDTH / 2 - 0.25, HEIGHT / 2 - 0.25)


@dataclass(frozen=True)
class Actor:
    """Who does what: a walk along a line, or a place to stand and wave at."""

    seed: int
    start: tuple[float, float]  # metres: to the right of the camera's axis, away from the camera
    end: tuple[float, float]
    speed: float = 0.0  # metres a second; 0: stands and waves

    def at(self, second: float) -> tuple[Array, float]:
        """Return the place (3,) on the ground and the way that is faced, degrees about the z axis.

        People at rest face the camera, which is 0.
        """
        start, end = np.array(self.start), np.array(self.end)
        if not self.speed:
            return np.array([*start, 0.0]), 0.0
        along = (end - start) / np.linalg.norm(end - start)
        x, y = start + along * self.speed * second
        return np.array([x, y, 0.0]), float(np.degrees(np.arctan2(along[0], -along[1])))


ACTORS = (
    Actor(33, (-2.3, 5.6), (2.5, 6.2), 0.8),
    Actor(18, (1.0, 4.4), (1.0, 4.4)),
    Actor(17, (-0.9, 9.5), (-0.75, 4.5), 0.8),
)


def _moves(actor: Actor, second: float, phase: float) -> list[tuple[Array, Array]]:
    """Return what the arms do: they swing against the legs, or the right one waves."""
    hang = (np.array([0.18, 0, -1.0]), np.array([0.1, -0.2, -1.0]))
    if not actor.speed:
        sway = 0.6 * np.sin(2 * np.pi * 0.9 * second)
        return [hang, (np.array([0.9, -0.2, -0.25]), np.array([0.45 + sway, -0.25, 1.0]))]
    arms = []
    for offset in (np.pi, 0.0):
        angle = 0.45 * np.sin(phase + offset)
        bend = 0.3 + max(0.0, angle) * 0.6
        arms.append(
            (
                np.array([0.15, -np.sin(angle), -np.cos(angle)]),
                np.array([0.08, -np.sin(angle + bend), -np.cos(angle + bend)]),
            )
        )
    return arms


def camera() -> Camera:
    """Return the camera, whose pixels are counted from the image's middle."""
    ahead = np.array([0, np.cos(PITCH), -np.sin(PITCH)])
    return Camera(0.0, PITCH, 0.0, 6.0, EYE + 6.0 * ahead, FOCAL)


@dataclass(frozen=True)
class Body:
    """An actor at one time."""

    number: int  # who it is
    look: Look
    vertices: Array  # (v, 3) metres in the world, without clothes
    heads: Array  # (b, 3) of bones


class Cast:
    """The actors: who they are, and where and how at any time."""

    def __init__(self, people: People) -> None:
        """Dress them."""
        self.people = people
        self._members = []
        for actor in ACTORS:
            rng = np.random.default_rng([SEED, actor.seed])
            person = people.build(rng)
            self._members.append((actor, person, Look(rng, person)))

    def bodies(self, second: float) -> list[Body]:
        """Return all at a time, those farthest away first."""
        order = sorted(enumerate(self._members), key=lambda member: -member[1][0].at(second)[0][1])
        return [self._body(number, *member, second) for number, member in order]

    def _body(self, number: int, actor: Actor, person: Person, look: Look, second: float) -> Body:
        model = self.people.model
        place, heading = actor.at(second)
        # Two steps are one turn of the legs, and about 1.35 m.
        phase = 2 * np.pi * actor.speed * second / 1.35 + number
        rng = np.random.default_rng([SEED, 1, actor.seed])  # the same each time
        kind = 'walk' if actor.speed else 'stand'
        legs = gait(rng, run=False, phase=phase) if actor.speed else LEGS[kind][1](rng)
        moves = _moves(actor, second, phase)
        turns, _ = poses.assemble(rng, model, person, kind, legs, moves)
        vertices, heads = model.bend(person, turns)
        rotation = turn(UP, heading)
        vertices, heads = vertices @ rotation.T, heads @ rotation.T
        shift = place - [0, 0, vertices[SKIN, 2].min()]
        return Body(number, look, vertices + shift, heads + shift)


class Stage:
    """Draws the actors, frame by frame."""

    def __init__(self, cache: Path) -> None:
        scenes = panoramas.load(cache, held_out=True)
        scene = next(scene for scene in scenes if scene.name == SCENE)
        self._people = People(scenes)
        self._cast = Cast(self._people)
        self._camera = camera()
        heading = 4.0
        field = 2 * np.arctan(HEIGHT / 2 / FOCAL)
        self._ground = scene.look((HEIGHT, WIDTH), heading, PITCH, field)
        self._light = {
            'sky': scene.irradiance(heading).astype(np.float32),
            'sun': (0.0, 0.0, 1.0), 'sun_colour': (0.0, 0.0, 0.0), 'exposure': 0.6,
        }  # fmt: skip

    def frame(self, number: int) -> tuple[Array, list[dict[str, Any]]]:
        """Return the picture (h, w, 3) uint8 RGB, and who is in it."""
        second = number / RATE
        picture = self._ground.astype(np.float32)
        grain = np.random.default_rng([SEED, number]).normal(0, 2, picture.shape)
        drawn = [self._draw(picture, body) for body in self._cast.bodies(second)]
        people = [entry for entry in drawn if entry]
        return np.clip(picture + grain, 0, 255).astype(np.uint8), people

    def _draw(self, picture: Array, body: Body) -> dict[str, Any] | None:
        model, look, heads = self._people.model, body.look, body.heads

        # Drawn twice as large, for smooth edges.
        dressed = self._people.dress(look, body.vertices)
        low, high = self._people.extent(look, dressed, self._camera)
        corner = np.floor(low - 4)
        size = np.ceil(high - corner + 4).astype(int)
        colour, mask, keypoints = self._people.draw(
            look,
            dressed,
            model.keypoints(body.vertices, heads),
            [],
            self._light,
            self._camera.cropped(2.0, 2 * corner),
            (2 * int(size[1]), 2 * int(size[0])),
        )
        layer = cv2.resize(
            colour.astype(np.float32), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA
        )
        mask = mask[::2, ::2]
        keypoints[:, :2] = (keypoints[:, :2] - 0.5) / 2

        x, y = (corner + np.array([WIDTH / 2, HEIGHT / 2])).astype(int)
        left, top = max(0, x), max(0, y)
        right, bottom = min(WIDTH, x + size[0]), min(HEIGHT, y + size[1])
        seen = mask[max(0, top - y) : max(0, bottom - y), max(0, left - x) : max(0, right - x)]
        if seen.sum() < 0.25 * mask.sum():
            return None
        self._shade(picture, heads, x - corner[0], y - corner[1])
        part = layer[top - y : bottom - y, left - x : right - x]
        target = picture[top:bottom, left:right]
        target[:] = target * (1 - part[..., 3:] / 255) + part[..., :3]
        rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
        box = [left + columns[0], top + rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        points = keypoints[:17] + np.array([x, y, 0])
        inside = np.all((points[:, :2] >= 0) & (points[:, :2] < (WIDTH, HEIGHT)), axis=1)
        points[~inside] = 0
        return {
            'id': body.number,
            'bbox': [int(value) for value in box],
            'keypoints': [[round(float(a), 2), round(float(b), 2), int(v)] for a, b, v in points],
        }

    def _shade(self, picture: Array, heads: Array, dx: float, dy: float) -> None:
        """Darken the ground under the feet."""
        model = self._people.model
        feet = np.stack([heads[model.bone(f'foot.{s}')] for s in 'LR'])
        feet[:, 2] = 0
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        pixels, ahead = self._camera.project(feet)
        for (u, v), distance in zip(pixels + np.array([dx, dy]), ahead, strict=True):
            radius = FOCAL * 0.22 / distance
            axes = (int(radius), max(1, int(radius * 0.28)))
            cv2.ellipse(mask, (int(u), int(v)), axes, 0, 0, 360, 0.5, -1)
        picture *= 1 - cv2.GaussianBlur(mask, (0, 0), 4)[..., None]


def main() -> None:
    """Write the clip and its truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--folder', type=Path, default=Path('vitpose_ros/demo/data'))
    parser.add_argument('--cache', type=Path, default=Path('training/cache'))
    arguments = parser.parse_args()
    stage = Stage(arguments.cache)
    path = str(arguments.folder / 'demo_clip.mp4')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'mp4v'), RATE, (WIDTH, HEIGHT))
    frames = []
    for number in range(FRAMES):
        picture, people = stage.frame(number)
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        frames.append(people)
    writer.release()
    truth = {
        'width': WIDTH, 'height': HEIGHT, 'fps': RATE, 'order': 'COCO-17',
        'visibility': '2 visible, 1 hidden by the own body, 0 outside the image', 'frames': frames,
    }  # fmt: skip
    (arguments.folder / 'demo_clip.json').write_text(json.dumps(truth) + '\n')


if __name__ == '__main__':
    main()
