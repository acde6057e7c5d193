"""Skeletons as RViz markers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from vitpose_ros.core.drawing import FINE, Colour, Style, is_fine, label, label_place, track_number
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.skeletons import Skeleton
from vitpose_ros.msg import Keypoints, Keypoints3D, Keypoints3DArray, KeypointsArray

# Namespaces. Markers have one size for all their points: hence those for face and hands.
LIMBS, JOINTS, FINE_LIMBS, FINE_JOINTS = 'limbs', 'joints', 'fine_limbs', 'fine_joints'
LABELS, VELOCITIES = 'labels', 'velocities'
LIMB_WIDTH = 0.008  # times the distance of the markers
JOINT_DIAMETER = 0.016
LABEL_HEIGHT = 0.04
DISTANCE_IN_SPACE = 3.0  # for which markers have their size that stand where people are
LEAST_SPEED = 0.1  # metres a second: who is slower gets no arrow
ARROW_WIDTH = 0.04  # metres
UP, UP_IN_IMAGES = np.array((0.0, 0.0, 1.0)), np.array((0.0, -1.0, 0.0))  # in optical frames
WHITE: Colour = (255, 255, 255)
FRAMES_MISSED = 3  # that many may not come before a marker disappears by itself
LONGEST_INTERVAL_S = 10.0  # between frames; beyond it the camera has paused


class MarkerMaker:
    """Makes the markers of frame after frame, and removes those of what is seen no more."""

    def __init__(self, skeletons: Sequence[Skeleton]) -> None:
        self._skeletons = {skeleton.name: skeleton for skeleton in skeletons}
        self._shown: set[tuple[str, int]] = set()  # namespace, id
        self._last_s: float | None = None  # stamp of the last frame

    def markers(
        self,
        message: KeypointsArray,
        camera: PinholeCamera,
        *,
        style: Style,
        lifetime: float,
        distance: float,
        in_space: Keypoints3DArray | None = None,
        up: NDArray[np.floating] = UP_IN_IMAGES,
    ) -> MarkerArray:
        """Make the markers: per subject LINE_LISTs of limbs, SPHERE_LISTs of joints, a label.

        They stand where in_space has the subjects, which begin as those of the message, with
        ARROWs of their velocities: as long as the way of a second. Without it, they are put on the
        plane at distance (metres) before the camera. lifetime is in seconds; 0 keeps markers until
        they are removed. up: (3,), of the frame of in_space.
        """
        array = MarkerArray()
        header = message.header if in_space is None else in_space.header
        used: set[int] = set()
        for index, subject in enumerate(message.subjects):
            number = track_number(subject.track_id, index)
            while number in used:
                number = (number + 1) % 2**31
            used.add(number)
            if in_space is None:
                places = _on_plane(subject, camera, distance, style)
            else:
                places = _in_space(subject, in_space.subjects[index], up, style)
            for marker in self._subject_markers(subject, number, places, style):
                marker.id = number
                array.markers.append(marker)
        shown = {(marker.ns, marker.id) for marker in array.markers}
        seconds = self._lifetime(message.header, lifetime)
        for marker in array.markers:
            marker.header = header
            marker.lifetime = Duration(sec=int(seconds), nanosec=int(seconds % 1 * 1e9))
        array.markers += self._removals(self._shown - shown, header)
        self._shown = shown
        return array

    def removal(self, header: Header) -> MarkerArray:
        """Make what removes all markers that are shown."""
        array = MarkerArray(markers=self._removals(self._shown, header))
        self._shown = set()
        return array

    @staticmethod
    def _removals(gone: set[tuple[str, int]], header: Header) -> list[Marker]:
        return [
            Marker(header=header, ns=namespace, id=number, action=Marker.DELETE)
            for namespace, number in sorted(gone)
        ]

    def _lifetime(self, header: Header, lifetime: float) -> float:
        """Return the lifetime, lengthened where frames come so seldom that markers would blink."""
        now_s = header.stamp.sec + 1e-9 * header.stamp.nanosec
        interval_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        if lifetime <= 0 or not 0 < interval_s < LONGEST_INTERVAL_S:
            return max(lifetime, 0.0)
        return max(lifetime, FRAMES_MISSED * interval_s)

    def _subject_markers(
        self, subject: Keypoints, number: int, places: '_Places', style: Style
    ) -> Iterator[Marker]:
        skeleton = self._skeletons[subject.skeleton]
        drawn = places.drawn
        points = [Point(x=x, y=y, z=z) for x, y, z in places.joints.tolist()]
        joints = np.flatnonzero(drawn).tolist()
        edges = [edge for edge in skeleton.edges if drawn[list(edge)].all()]
        for fine, size, limb_space, joint_space in (
            (False, places.scale, LIMBS, JOINTS),
            (True, FINE * places.scale, FINE_LIMBS, FINE_JOINTS),
        ):
            marker = _marker(limb_space, Marker.LINE_LIST, LIMB_WIDTH * size)
            for edge in edges:
                if is_fine(skeleton, edge) == fine:
                    colour = _colour(style.limb_colour(skeleton, edge, number))
                    marker.points += [points[index] for index in edge]
                    marker.colors += [colour, colour]
            if marker.points:
                yield marker
            marker = _marker(joint_space, Marker.SPHERE_LIST, JOINT_DIAMETER * size)
            for index in joints:
                if (index in skeleton.fine) == fine:
                    marker.points.append(points[index])
                    marker.colors.append(_colour(style.joint_colour(skeleton, index, number)))
            if marker.points:
                yield marker
        text = label(subject.class_id, subject.track_id)
        if style.labels and text and joints:
            marker = _marker(LABELS, Marker.TEXT_VIEW_FACING, LABEL_HEIGHT * places.scale)
            marker.text = text
            marker.color = _colour(WHITE)
            x, y, z = (places.top + places.up * marker.scale.z / 2).tolist()
            marker.pose.position = Point(x=x, y=y, z=z)
            yield marker
        if places.arrow is not None:
            marker = _marker(VELOCITIES, Marker.ARROW, ARROW_WIDTH * style.thickness)
            marker.scale.y *= 2
            marker.scale.z = 0.0  # as long as RViz has it
            marker.color = _colour(style.limb_colour(skeleton, skeleton.edges[0], number))
            marker.points = [Point(x=x, y=y, z=z) for x, y, z in places.arrow.tolist()]
            yield marker


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the markers of a subject stand."""

    joints: NDArray[np.float64]  # (k, 3) metres
    drawn: NDArray[np.bool_]  # (k,)
    top: NDArray[np.float64]  # (3,): below the label
    up: NDArray[np.floating]  # (3,)
    scale: float  # of sizes
    arrow: NDArray[np.float64] | None = None  # (2, 3): from where to where


def _on_plane(subject: Keypoints, camera: PinholeCamera, distance: float, style: Style) -> _Places:
    """Return the places on the plane at a distance (metres) before the camera."""
    pixels = np.stack((subject.x, subject.y), axis=1)
    scores = np.asarray(subject.keypoint_score)
    drawn = (scores >= style.min_score) & np.isfinite(pixels).all(axis=1)
    top = np.zeros(3)
    if drawn.any():
        _, y = label_place(pixels[drawn])
        top = camera.at_depth(np.array([pixels[drawn, 0].mean(), y]), distance)
    joints = camera.at_depth(pixels, distance)
    return _Places(joints, drawn, top, UP_IN_IMAGES, style.thickness * distance)


def _in_space(
    subject: Keypoints, where: Keypoints3D, up: NDArray[np.floating], style: Style
) -> _Places:
    """Return the places in space."""
    joints = np.stack((where.x, where.y, where.z), axis=1).astype(np.float64)
    scores = np.asarray(subject.keypoint_score)
    drawn = (scores >= style.min_score) & np.isfinite(joints).all(axis=1)
    top, scale = np.zeros(3), style.thickness * DISTANCE_IN_SPACE
    if drawn.any():
        seen = joints[drawn]
        middle, heights = seen.mean(axis=0), seen @ up
        top = middle + up * (heights.max() - middle @ up + LABEL_HEIGHT * scale)
    place = np.array([where.position.x, where.position.y, where.position.z])
    way = np.array([where.velocity.x, where.velocity.y, where.velocity.z])
    arrow = np.stack((place, place + way))
    shown = bool(np.isfinite(arrow).all()) and float(np.linalg.norm(way)) >= LEAST_SPEED
    return _Places(joints, drawn, top, up, scale, arrow if shown else None)


def _marker(namespace: str, kind: int, size: float) -> Marker:
    marker = Marker(ns=namespace, type=kind, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size
    return marker


def _colour(rgb: Colour) -> ColorRGBA:
    red, green, blue = (value / 255 for value in rgb)
    return ColorRGBA(r=red, g=green, b=blue, a=1.0)
