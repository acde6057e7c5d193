"""Skeletons as RViz markers."""

from collections.abc import Iterator, Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from vitpose_ros.core.drawing import FINE, Colour, Style, is_fine, label, label_place, track_number
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.skeletons import Skeleton
from vitpose_ros.msg import Keypoints, KeypointsArray

# Namespaces. Markers have one size for all their points: hence those for face and hands.
LIMBS, JOINTS, FINE_LIMBS, FINE_JOINTS = 'limbs', 'joints', 'fine_limbs', 'fine_joints'
LABELS = 'labels'
LIMB_WIDTH = 0.008  # times the distance of the markers
JOINT_DIAMETER = 0.016
LABEL_HEIGHT = 0.04
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
    ) -> MarkerArray:
        """Make the markers: per subject LINE_LISTs of limbs, SPHERE_LISTs of joints, a label.

        The keypoints are put on the plane at distance (metres) before the camera. lifetime is
        in seconds; 0 keeps markers until they are removed.
        """
        array = MarkerArray()
        used: set[int] = set()
        for index, subject in enumerate(message.subjects):
            number = track_number(subject.track_id, index)
            while number in used:
                number = (number + 1) % 2**31
            used.add(number)
            for marker in self._subject_markers(subject, number, camera, style, distance):
                marker.id = number
                array.markers.append(marker)
        shown = {(marker.ns, marker.id) for marker in array.markers}
        seconds = self._lifetime(message.header, lifetime)
        for marker in array.markers:
            marker.header = message.header
            marker.lifetime = Duration(sec=int(seconds), nanosec=int(seconds % 1 * 1e9))
        array.markers += self._removals(self._shown - shown, message.header)
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
        self,
        subject: Keypoints,
        number: int,
        camera: PinholeCamera,
        style: Style,
        distance: float,
    ) -> Iterator[Marker]:
        skeleton = self._skeletons[subject.skeleton]
        pixels = np.stack((subject.x, subject.y), axis=1)
        scores = np.asarray(subject.keypoint_score)
        drawn = (scores >= style.min_score) & np.isfinite(pixels).all(axis=1)
        places = [Point(x=x, y=y, z=z) for x, y, z in camera.at_depth(pixels, distance).tolist()]
        joints = np.flatnonzero(drawn).tolist()
        edges = [edge for edge in skeleton.edges if drawn[list(edge)].all()]
        scale = style.thickness * distance
        for fine, size, limb_space, joint_space in (
            (False, scale, LIMBS, JOINTS),
            (True, FINE * scale, FINE_LIMBS, FINE_JOINTS),
        ):
            marker = _marker(limb_space, Marker.LINE_LIST, LIMB_WIDTH * size)
            for edge in edges:
                if is_fine(skeleton, edge) == fine:
                    colour = _colour(style.limb_colour(skeleton, edge, number))
                    marker.points += [places[index] for index in edge]
                    marker.colors += [colour, colour]
            if marker.points:
                yield marker
            marker = _marker(joint_space, Marker.SPHERE_LIST, JOINT_DIAMETER * size)
            for index in joints:
                if (index in skeleton.fine) == fine:
                    marker.points.append(places[index])
                    marker.colors.append(_colour(style.joint_colour(skeleton, index, number)))
            if marker.points:
                yield marker
        text = label(subject.class_id, subject.track_id)
        if style.labels and text and joints:
            marker = _marker(LABELS, Marker.TEXT_VIEW_FACING, LABEL_HEIGHT * scale)
            marker.text = text
            marker.color = _colour(WHITE)
            _, top = label_place(pixels[drawn])
            x, y, z = camera.at_depth(np.array([pixels[drawn, 0].mean(), top]), distance).tolist()
            marker.pose.position = Point(x=x, y=y - marker.scale.z / 2, z=z)
            yield marker


def _marker(namespace: str, kind: int, size: float) -> Marker:
    marker = Marker(ns=namespace, type=kind, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size
    return marker


def _colour(rgb: Colour) -> ColorRGBA:
    red, green, blue = (value / 255 for value in rgb)
    return ColorRGBA(r=red, g=green, b=blue, a=1.0)
