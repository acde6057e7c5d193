"""What large images need: shared memory where they are published, memory that stays here.

Nothing heavy is imported: nodes call it before all else, and launch files use it, too.
"""

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

# Each names a file of Fast DDS; the older name serves until Jazzy, later ones warn of it.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
OLDER_DISTRIBUTIONS = ('humble', 'iron', 'jazzy')
# Whoever sets one of these has transports of his own.
CHOICES = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')

# Numbers and values of mallopt: a buffer of up to 32 MiB (the most that all releases of glibc
# accept) comes from the heap, and the heap keeps up to 128 MiB that are free.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BUFFER = 32 * 2**20
KEPT_FREE = 128 * 2**20
ALLOCATOR_VARIABLES = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_')
TUNABLES, OF_ALLOCATOR = 'GLIBC_TUNABLES', 'glibc.malloc.'  # the newer way to set them


def profile() -> Path:
    """Return the file that gives Fast DDS room for images in shared memory."""
    return Path(get_package_share_directory('vitpose_ros')) / 'config' / 'fastdds.xml'


def publisher_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a process that publishes images needs in its environment beside what is there.

    Nothing if the user has chosen transports, be it by an empty variable. Other middlewares
    ignore it.
    """
    if any(name in environment for name in CHOICES):
        return {}
    newer, older = PROFILE_VARIABLES
    distribution = environment.get('ROS_DISTRO')
    return {older if distribution in OLDER_DISTRIBUTIONS else newer: str(profile())}


def keep_memory(environment: Mapping[str, str] = os.environ) -> None:
    """Let this process keep the memory of an image for the next one.

    glibc gives large buffers back to the system at once, and each page of the next image is
    faulted in again: 4500 of them at 1080p, 11 ms. Without glibc, or where the environment sets
    these thresholds, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    is_set = any(name in environment for name in ALLOCATOR_VARIABLES)
    if mallopt is None or is_set or OF_ALLOCATOR in environment.get(TUNABLES, ''):
        return
    mallopt(M_MMAP_THRESHOLD, KEPT_BUFFER)
    mallopt(M_TRIM_THRESHOLD, KEPT_FREE)
