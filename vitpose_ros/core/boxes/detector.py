"""Object detectors of Hugging Face transformers: D-FINE, RT-DETR and what loads the same way.

The library's own image processor prepares images and reads boxes out of what the network says, so
that the results are those of its pipeline.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError, shorten
from vitpose_ros.core.geometry.crops import TO_RGB
from vitpose_ros.core.types import Frame

NEEDED = ('config.json', 'preprocessor_config.json', 'model.safetensors')
REMEDY = "pip install 'transformers>=4.52' pillow"


class DetectorError(VitposeError, ValueError):
    """A detector that cannot be loaded."""


@dataclass(frozen=True, eq=False)
class Objects:
    """What a detector found in an image, best first."""

    boxes: NDArray[np.float32]  # (n, 4) pixels: x_min, y_min, x_max, y_max
    scores: NDArray[np.float32]  # (n,) 0 to 1
    class_names: tuple[str, ...]  # (n,) as the detector calls them


class Detector:
    """Finds objects in images. For one thread at a time."""

    def __init__(self, network: Any, processor: Any, device: torch.device) -> None:
        """Take a network of the library, its image processor, and where it runs."""
        self._network = network.eval().requires_grad_(False).to(device)
        self._processor = processor
        self._device = device
        self.class_names: dict[int, str] = dict(network.config.id2label)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = 'cpu') -> 'Detector':
        """Load a detector from a directory, as save_pretrained writes it. Raises DetectorError.

        Nothing is fetched, and no code of the directory is run.
        """
        folder = Path(folder).expanduser()
        _check(folder)
        transformers = _library()
        with _explained(folder):
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            known = transformers.AutoModelForObjectDetection._model_mapping
            if type(config) not in known:
                raise DetectorError(
                    f"detector '{folder}': its config.json says {config.model_type}, which is no "
                    'object detector; give a directory of D-FINE or RT-DETR'
                )
            network = transformers.AutoModelForObjectDetection.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            processor = transformers.AutoImageProcessor.from_pretrained(
                folder, local_files_only=True
            )
        return cls(network, processor, torch.device(device))

    @torch.inference_mode()
    def find(self, frames: Sequence[Frame], min_score: float = 0.3) -> list[Objects]:
        """Return what is in frames, all in one forward pass; their boxes are not looked at."""
        if not frames:
            return []
        images = [_rgb(frame) for frame in frames]
        inputs = self._processor(images=images, return_tensors='pt').to(self._device)
        found = self._network(**inputs)
        results = self._processor.post_process_object_detection(
            SimpleNamespace(logits=found.logits.float(), pred_boxes=found.pred_boxes.float()),
            threshold=min_score,
            target_sizes=[image.shape[:2] for image in images],
        )
        return [
            self._objects(result, frame) for result, frame in zip(results, frames, strict=True)
        ]

    def _objects(self, result: dict[str, torch.Tensor], frame: Frame) -> Objects:
        order = result['scores'].argsort(descending=True, stable=True)
        boxes = result['boxes'][order].cpu().numpy().astype(np.float32)
        height, width = frame.image.shape[:2]
        np.clip(boxes, 0, [width, height, width, height], out=boxes)
        names = tuple(self.class_names[int(label)] for label in result['labels'][order])
        return Objects(boxes, result['scores'][order].cpu().numpy().astype(np.float32), names)


def _rgb(frame: Frame) -> NDArray[np.uint8]:
    """Return the pixels of a frame, (h, w, 3) RGB."""
    if frame.channels == 'rgb':
        return frame.pixels
    return np.asarray(cv2.cvtColor(frame.pixels, TO_RGB[frame.channels]), np.uint8)


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise DetectorError(f"detector '{folder}' is no directory; give one with {NEEDED[0]}")
    absent = [name for name in NEEDED if not (folder / name).is_file()]
    if absent:
        raise DetectorError(
            f"detector '{folder}' lacks {', '.join(absent)}; give a directory as save_pretrained "
            'of transformers writes it, with image processor and safetensors'
        )


def _library() -> Any:
    try:
        import PIL  # noqa: F401 - by which the library reads images
        import transformers
    except ImportError as error:
        raise DetectorError(
            f'a detector needs transformers and pillow ({error}): {REMEDY}'
        ) from error
    return transformers


@contextmanager
def _explained(folder: Path) -> Any:
    """Turn what the library says into an error that names the directory and the remedy."""
    try:
        yield
    except DetectorError:
        raise
    except Exception as error:
        text = shorten(str(error).strip().partition('\n')[0])
        raise DetectorError(
            f"detector '{folder}' cannot be loaded ({type(error).__name__}: {text}); fetch it "
            f'again, or take a newer library: {REMEDY}'
        ) from error
