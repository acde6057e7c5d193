"""Skeletons as RViz markers."""

import zlib
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vitpose_ros.core.cameras import PinholeCamera
from vitpose_ros.core.drawing import edge_colour, side_colour
from vitpose_ros.core.skeletons import Skeleton
from vitpose_ros.msg import Keypoints, KeypointsArray

LIMBS, JOINTS = 'limbs', 'joints'  # namespaces
LIMB_WIDTH = 0.008  # times the distance of the markers
JOINT_DIAMETER = 0.016


class MarkerMaker:
    """Makes the markers of frame after frame, and removes those of subjects that left."""

    def __init__(self, skeletons: Sequence[Skeleton]) -> None:
        self._skeletons = {skeleton.name: skeleton for skeleton in skeletons}
        self._shown: set[int] = set()

    def markers(
        self, message: KeypointsArray, *, min_score: float, lifetime: float, distance: float
    ) -> MarkerArray:
        """Make the markers: per subject a LINE_LIST of limbs and a SPHERE_LIST of joints.

        The keypoints are put on the plane at distance (metres) before a nominal camera.
        Keypoints with a score below min_score are left out. lifetime is in seconds.
        """
        camera = PinholeCamera.nominal(message.image_width, message.image_height)
        array = MarkerArray()
        shown: set[int] = set()
        for index, subject in enumerate(message.subjects):
            number = marker_id(subject, index)
            while number in shown:
                number = (number + 1) % 2**31
            shown.add(number)
            limbs, joints = self._subject_markers(subject, camera, min_score, distance)
            for marker in (limbs, joints):
                marker.id = number
                marker.lifetime = Duration(
                    sec=int(lifetime), nanosec=int(lifetime % 1 * 1_000_000_000)
                )
                array.markers.append(marker)
        for number in sorted(self._shown - shown):
            for namespace in (LIMBS, JOINTS):
                array.markers.append(Marker(ns=namespace, id=number, action=Marker.DELETE))
        for marker in array.markers:
            marker.header = message.header
        self._shown = shown
        return array

    def _subject_markers(
        self, subject: Keypoints, camera: PinholeCamera, min_score: float, distance: float
    ) -> tuple[Marker, Marker]:
        skeleton = self._skeletons[subject.skeleton]
        pixels = np.stack((subject.x, subject.y), axis=1)
        drawn = (np.asarray(subject.keypoint_score) >= min_score) & np.isfinite(pixels).all(axis=1)
        places = [Point(x=x, y=y, z=z) for x, y, z in camera.at_depth(pixels, distance).tolist()]

        limbs = _marker(LIMBS, Marker.LINE_LIST, LIMB_WIDTH * distance)
        for edge in skeleton.edges:
            if drawn[list(edge)].all():
                limbs.points.extend(places[index] for index in edge)
                limbs.colors.extend([_colour(edge_colour(skeleton, edge))] * 2)
        joints = _marker(JOINTS, Marker.SPHERE_LIST, JOINT_DIAMETER * distance)
        for index in np.flatnonzero(drawn):
            joints.points.append(places[index])
            joints.colors.append(_colour(side_colour(skeleton.keypoint_names[index])))
        return limbs, joints


def marker_id(subject: Keypoints, index: int) -> int:
    """Return a number that stays with the subject: of its track, else its place in the frame."""
    if not subject.id:
        return index
    if subject.id.isascii() and subject.id.isdigit() and int(subject.id) < 2**31:
        return int(subject.id)
    return zlib.crc32(subject.id.encode()) >> 1


def _marker(namespace: str, kind: int, size: float) -> Marker:
    marker = Marker(ns=namespace, type=kind, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size
    return marker


def _colour(rgb: tuple[int, int, int]) -> ColorRGBA:
    red, green, blue = (value / 255 for value in rgb)
    return ColorRGBA(r=red, g=green, b=blue, a=1.0)
