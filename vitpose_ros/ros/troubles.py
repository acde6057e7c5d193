"""What is said of frames that are lost, and of what else is wrong with them."""

from collections.abc import Callable, Mapping
from typing import Any

from vitpose_ros.core.realtime import Waiting
from vitpose_ros.core.runtime.faults import is_device_lost
from vitpose_ros.ros.camera import Camera
from vitpose_ros.ros.logs import InputError, ThrottledLog


class Troubles:
    """Tells of the frames of some cameras."""

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        log: ThrottledLog,
        is_running: Callable[[], bool],
        on_device_lost: Callable[[Exception], None],
    ) -> None:
        """Take where to tell it, and what to call after an error that ends all work."""
        self._cameras = cameras
        self._log = log
        self._is_running = is_running
        self._on_device_lost = on_device_lost

    def lost(self, waiting: Waiting[Any], error: Exception) -> None:
        """Say that a frame is lost."""
        camera = self._cameras[waiting.camera]
        camera.tally.add(failed=1)
        seconds, nanoseconds = divmod(waiting.stamp_ns, 1_000_000_000)
        self.tell(camera, error, f'the frame of stamp {seconds}.{nanoseconds:09d} is lost')
        if is_device_lost(error):
            self._on_device_lost(error)

    def tell(self, camera: Camera, error: Exception, consequence: str = '') -> None:
        """Say what is wrong with something of a camera."""
        if not self._is_running():
            return
        where = self._where(camera)
        if isinstance(error, InputError):
            self._log.error(f'{camera.name} {error.kind}', f'{where}{error}')
        else:
            what = type(error).__name__
            self._log.error(f'{camera.name} {what}', f'{where}{consequence}: {what}: {error}')

    def warn(self, camera: Camera, kind: str, text: str) -> None:
        """Say what a camera could not have."""
        self._log.warning(f'{camera.name} {kind}', f'{self._where(camera)}{text}')

    @staticmethod
    def _where(camera: Camera) -> str:
        return f"camera '{camera.name}': " if camera.name else ''
