"""Poses of frames in frames, and their arithmetic."""

import math
from typing import NamedTuple

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x, y, z, w


class Link(NamedTuple):
    """A frame's pose in its parent, at a time."""

    stamp: int  # ns
    parent: str
    rotation: Quaternion
    translation: Vector


def identity(stamp: int) -> Link:
    """Return the pose of a frame in itself."""
    return Link(stamp, '', (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0))


def composed(outer: Link, inner: Link) -> Link:
    """Return a pose in the frame in which the frame that it was in has the pose outer."""
    (a, b, c, d), (x, y, z, w) = outer.rotation, inner.rotation
    rotation = (
        d * x + a * w + b * z - c * y,
        d * y + b * w + c * x - a * z,
        d * z + c * w + a * y - b * x,
        d * w - a * x - b * y - c * z,
    )
    x, y, z = rotated(outer.rotation, inner.translation)
    u, v, w = outer.translation
    return Link(outer.stamp, outer.parent, rotation, (u + x, v + y, w + z))


def inverse(link: Link) -> Link:
    """Return the pose of the outer frame in the inner one."""
    x, y, z, w = link.rotation
    rotation = (-x, -y, -z, w)
    x, y, z = rotated(rotation, link.translation)
    return link._replace(rotation=rotation, translation=(-x, -y, -z))


def rotated(rotation: Quaternion, vector: Vector) -> Vector:
    """Turn a vector v: it gets p = 2 u x v times w, and u x p, u the quaternion's x, y, z."""
    (a, b, c, w), (x, y, z) = rotation, vector
    p, q, r = 2 * (b * z - c * y), 2 * (c * x - a * z), 2 * (a * y - b * x)
    return x + w * p + b * r - c * q, y + w * q + c * p - a * r, z + w * r + a * q - b * p


def interpolated(one: Link, two: Link, time: int) -> Link:
    """Return the link at a time in between: linear, and on the shorter arc at constant speed."""
    ratio = (time - one.stamp) / (two.stamp - one.stamp)
    cosine = sum(p * q for p, q in zip(one.rotation, two.rotation, strict=True))
    angle = math.acos(min(abs(cosine), 1.0))
    rotation = one.rotation
    if angle:
        first = math.sin((1 - ratio) * angle) / math.sin(angle)
        second = math.copysign(math.sin(ratio * angle) / math.sin(angle), cosine)
        x, y, z, w = (
            first * p + second * q for p, q in zip(one.rotation, two.rotation, strict=True)
        )
        rotation = (x, y, z, w)
    x, y, z = (
        (1 - ratio) * p + ratio * q for p, q in zip(one.translation, two.translation, strict=True)
    )
    return one._replace(rotation=rotation, translation=(x, y, z))


def normalized(x: float, y: float, z: float, w: float) -> Quaternion | None:
    """Return a rotation with length 1, and the sign that the real package gives it.

    That makes w positive if it is above 1/2, else the largest of the others. None for what is no
    rotation.
    """
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if not 0 < length < math.inf:
        return None
    largest = w if abs(w) > length / 2 else max(x, y, z, key=abs)
    length = math.copysign(length, largest)
    return x / length, y / length, z / length, w / length
