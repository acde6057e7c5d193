"""Depth of the demonstration's clip, and its people in space. The clip itself stays as it is.

Writes demo_clip_depth.png, what a stereo camera would measure, half as large as the images: one
frame below the other, 8 bits a pixel. The depth of a pixel is per_step / (value + offset) metres,
0 is a hole: such cameras measure disparity, in equal steps.

And demo_clip_depth.json: those two numbers, the intrinsics of the images, and of each frame the
people with their COCO joints, metres in the camera's optical frame, and states: 2 seen, 1 hidden
by the own body, 0 hidden by others or outside the image. The ids are those of demo_clip.json.

The panorama behind the people is a picture: the room that depth has is a hall as wide and as long
as what may be seen there.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from world import clip
from world.bodies import indices_of
from world.depth_noise import StereoNoise
from world.people import TOLERANCE, People
from world.renderer import FAR, Scene
from world.room import Room
from world.sensors import Lens, Viewpoint
from world.sequence import BEHIND_ITSELF, HIDDEN, SEEN

Array = NDArray[Any]

NOISE = StereoNoise()  # 'stereo' of depth_noise.NOISES
FACTOR = 2  # how much smaller depth images are than images
OFFSET = 100  # steps: at 10.24 m, where the camera sees nothing any more
HALL = Room(low=(-6.0, -2.0, 0.0), high=(6.0, 14.0, 4.5))  # metres
NOBODY = -1
CONTACT = 0.02  # metres: what is in front of a joint by less does not hide it
COCO = indices_of('coco')


class SpaceStage:
    """Measures the actors, frame by frame."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._cast = clip.Cast(people)
        camera = clip.camera()
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = camera.axes.T, camera.eye
        self._view = Viewpoint(Lens(clip.WIDTH, clip.HEIGHT, clip.INTRINSICS), pose)
        self._small_view = self._view.reduced(FACTOR)
        self._hall = HALL.surfaces(self._small_view)[0]

    def frame(self, number: int) -> tuple[Array, list[dict[str, Any]]]:
        """Return the depth image (h, w) uint8, see above, and who is where."""
        bodies = self._cast.bodies(number / clip.RATE)
        depths = [self._depth(body, self._small_view) for body in bodies]
        true = np.minimum.reduce([self._hall, *depths])
        rng = np.random.default_rng([clip.SEED, 2, number])
        focal = self._small_view.lens.camera.focal_x
        return encoded(NOISE.measure(true, focal, rng)), self._truth(bodies)

    def _depth(self, body: clip.Body, view: Viewpoint) -> Array:
        """Return the depth (h, w) of an actor alone; infinite beside it."""
        size = view.lens.height, view.lens.width
        positions, normals = self._people.dress(body.look, body.vertices)
        depth = self._people.renderer.depth(
            Scene(
                size=size,
                projection=view.matrix(size),
                eye=view.eye,
                positions=positions,
                normals=normals,
                skin=normals,
                uniforms=body.look.uniforms,
                layers=('body', *body.look.layers),
            )
        )
        return np.where(depth < 0.99 * FAR, depth, np.inf)

    def _truth(self, bodies: list[clip.Body]) -> list[dict[str, Any]]:
        depths = np.stack([self._depth(body, self._view) for body in bodies])
        nearest, first = depths.min(axis=0), depths.argmin(axis=0)
        people = []
        for index, body in enumerate(bodies):
            joints = self._people.model.keypoints(body.vertices, body.heads)[COCO]
            points, ahead = self._view.project(joints)
            x, y = np.rint(points).astype(int).T
            inside = (x >= 0) & (x < clip.WIDTH) & (y >= 0) & (y < clip.HEIGHT)
            x, y = np.where(inside, x, 0), np.where(inside, y, 0)
            states = np.full(len(joints), SEEN)
            own = depths[index, y, x]
            states[own < ahead - TOLERANCE[COCO] - body.look.bulk] = BEHIND_ITSELF
            others = (first[y, x] != index) & (nearest[y, x] < ahead - CONTACT)
            states[~inside | others] = HIDDEN
            people.append(
                {
                    'id': body.number,
                    'joints': np.round(self._view.local(joints), 4).tolist(),
                    'states': states.tolist(),
                }
            )
        return people


def encoded(depth: Array) -> Array:
    """Return depths (h, w) in metres, NaN for holes, as steps of disparity, (h, w) uint8."""
    steps = np.rint(per_step() / np.where(np.isnan(depth), np.inf, depth)) - OFFSET
    return np.clip(steps, 0, 255).astype(np.uint8)


def per_step() -> float:
    """Return the depth that one step of disparity stands for, metres."""
    return NOISE.focal_px * NOISE.baseline_m / NOISE.step_px


def main() -> None:
    """Write depth and joints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--folder', type=Path, default=Path('vitpose_ros/demo/data'))
    arguments = parser.parse_args()
    stage = SpaceStage(People([]))
    frames = [stage.frame(number) for number in range(clip.FRAMES)]
    strip = np.concatenate([image for image, _ in frames])
    path = arguments.folder / 'demo_clip_depth.png'
    settings = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]  # the smallest here
    cv2.imwrite(str(path), strip, [cv2.IMWRITE_PNG_COMPRESSION, 9, *settings])
    camera = clip.INTRINSICS
    truth = {
        'camera': [camera.focal_x, camera.focal_y, camera.centre_x, camera.centre_y],
        'per_step': per_step(), 'offset': OFFSET, 'order': 'COCO-17',
        'states': '2 seen, 1 hidden by the own body, 0 hidden by others or outside the image',
        'frames': [people for _, people in frames],
    }  # fmt: skip
    path.with_suffix('.json').write_text(json.dumps(truth) + '\n')


if __name__ == '__main__':
    main()
