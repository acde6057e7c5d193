"""A contact sheet of a scenario: colour above depth, with boxes, joints and their states.

python -m world.preview crossing --seed 3 --output /tmp/sheets
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from world.bodies import indices_of
from world.depth_noise import NOISES
from world.scenarios import SCENARIOS, described
from world.scene import Scene
from world.sequence import Sight

Array = NDArray[Any]
COLOURS = ((255, 60, 60), (60, 140, 255), (60, 230, 60))  # of the states 0, 1, 2
FARTHEST = 7.0  # metres: black


def annotated(sight: Sight) -> Array:
    """Return what a camera sees, (2 h, w, 3) uint8 RGB: colour, and depth below it."""
    assert sight.image is not None
    assert sight.depth is not None
    picture = sight.image.copy()
    grey = np.nan_to_num(255 * np.clip(1 - sight.depth / FARTHEST, 0, 1)).astype(np.uint8)
    depth = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    depth[np.isnan(sight.depth)] = 0
    coco = indices_of('coco')
    for image in (picture, depth):
        for person in sight.people:
            for box, colour in ((person.whole_box, (120, 120, 120)), (person.box, (255, 230, 0))):
                if np.isfinite(box).all():
                    x1, y1, x2, y2 = (int(v) for v in np.clip(np.round(box), -9999, 9999))
                    cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
            for (x, y), state in zip(person.points[coco], person.states[coco], strict=True):
                if abs(x) < 1e4 and abs(y) < 1e4:
                    cv2.circle(image, (round(x), round(y)), 3, COLOURS[state], -1)
            corner = np.clip(person.whole_box[:2], 2, (sight.size[1] - 60, 400))
            label = f'{person.id}: {person.share:.2f}'
            cv2.putText(
                image, label, (int(corner[0]), int(corner[1]) + 12), 0, 0.5, (255, 255, 255)
            )
    cv2.putText(picture, f'{sight.name} {sight.stamp_s:.2f} s', (6, 20), 0, 0.6, (255, 255, 0))
    return np.vstack((picture, depth))


def sheet(scene: Scene, count: int, columns: int = 4, width: int = 480) -> Array:
    """Return so many moments of a scene, of each camera in turn, side by side."""
    seconds = np.linspace(0, scene.seconds, count)
    names = list(scene.mounts)
    tiles = []
    for i, second in enumerate(seconds):
        sight = scene.sight(names[i % len(names)], float(second), pictures=True)
        tile = annotated(sight)
        height = round(width * sight.size[0] / sight.size[1]) * 2
        tiles.append(cv2.resize(tile, (width, height), interpolation=cv2.INTER_AREA))
    tallest = max(len(tile) for tile in tiles)
    tiles = [np.pad(tile, ((0, tallest - len(tile)), (0, 0), (0, 0))) for tile in tiles]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def times(scene: Scene, count: int) -> Iterator[str]:
    """Yield how long sights take on the processor, for each amount of what they contain."""
    name = next(iter(scene.mounts))
    seconds = np.linspace(0, scene.seconds, count)
    amounts: dict[str, dict[str, bool]] = {
        'boxes and joints': {},
        'and depth': {'depth': True},
        'and pictures': {'pictures': True},
    }
    for what, options in amounts.items():
        scene.sight(name, 0.0, **options)
        began = process_time()
        people = sum(len(scene.sight(name, float(s), **options).people) for s in seconds)
        spent = 1000 * (process_time() - began)
        yield f'{what}: {spent / count:.1f} ms an image, {spent / max(1, people):.1f} ms a person'


def main() -> None:
    """Write a contact sheet."""
    listed = '\n'.join(f'  {name:14s}{what}' for name, what in described())
    parser = argparse.ArgumentParser(
        prog='python -m world.preview',
        description='Write a contact sheet of a scenario.',
        epilog=f'scenarios:\n{listed}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('scenario', choices=SCENARIOS, metavar='SCENARIO')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--noise', choices=NOISES, default='stereo', help='of depth')
    parser.add_argument('--count', type=int, default=8, help='how many moments')
    parser.add_argument('--output', type=Path, default=Path(), help='folder')
    parser.add_argument('--panoramas', type=Path, help='folder of panoramas, to look like one')
    parser.add_argument('--times', action='store_true', help='say how long it takes instead')
    arguments = parser.parse_args()
    panorama = None
    if arguments.panoramas:
        from world import panoramas

        places = panoramas.load(arguments.panoramas, held_out=True)
        panorama = places[arguments.seed % len(places)]
    scene = Scene(arguments.seed, arguments.scenario, noise=arguments.noise, panorama=panorama)
    if arguments.times:
        print('\n'.join(times(scene, 30)))
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f'{arguments.scenario}_{arguments.seed}.png'
    picture = sheet(scene, arguments.count)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(path)


if __name__ == '__main__':
    main()
