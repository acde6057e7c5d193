"""Object detectors of Hugging Face transformers: D-FINE, RT-DETR and what loads the same way.

The library's own image processor prepares images and reads boxes out of what the network says, so
that the results are those of its pipeline.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.boxes import graphs
from vitpose_ros.core.boxes.graphs import Run
from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.errors import VitposeError, shorten
from vitpose_ros.core.geometry.crops import TO_RGB
from vitpose_ros.core.runtime.processor import torch_threads
from vitpose_ros.core.types import Frame, Precision

FILES = ('config.json', 'preprocessor_config.json', 'model.safetensors')
DTYPES: dict[Precision, torch.dtype] = {'float16': torch.float16, 'bfloat16': torch.bfloat16}
LEAST_SCORE = 0.3  # of an object, if nobody asks for another
REMEDY = "pip install 'transformers>=4.52' pillow"


class DetectorError(VitposeError, ValueError):
    """A detector that cannot be loaded."""


class Detector:
    """Finds objects in images. For one thread at a time."""

    warning = ''  # what is not to be had is an error

    def __init__(
        self, run: Run, processor: Any, about: Any, *, device: torch.device, threads: int = 0
    ) -> None:
        """Take what runs a network, its image processor, and what its config.json says.

        device: where the network reads pixels. threads: of the processor; 0: as many as PyTorch
        has.
        """
        self._run = run
        self._processor = processor
        self._device = device
        self._threads = threads
        # Where sizes depend on the image, those of a batch would be padded.
        self._takes_all = _fixed_size(processor) is not None
        self.class_names: dict[int, str] = dict(about.id2label)
        self.kind: str = about.model_type  # as the library calls it: 'd_fine'

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str = 'cpu',
        *,
        runtime: str = 'torch',
        precision: Precision = 'float32',
        threads: int = 0,
    ) -> 'Detector':
        """Load a detector from a directory, as save_pretrained writes it. Raises DetectorError.

        device, runtime ('torch', 'openvino', 'onnx') and precision: of the network it works for;
        what a detector cannot compute with is float32. Nothing is fetched, and no code of the
        directory is run. Raises BackendError and ExportError, too, where the runtime cannot be
        had.
        """
        folder = Path(folder).expanduser()
        _check(folder)
        transformers = _library()
        with _explained(folder, transformers):
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            known = transformers.AutoModelForObjectDetection._model_mapping
            if type(config) not in known:
                raise DetectorError(
                    f"detector '{folder}': its config.json says {config.model_type}, which is no "
                    'object detector; give a directory of D-FINE or RT-DETR'
                )
            processor = transformers.AutoImageProcessor.from_pretrained(
                folder, local_files_only=True
            )
        size = _fixed_size(processor)
        if runtime == 'torch' or size is None:  # graphs are for one size
            with _explained(folder, transformers):
                network = transformers.AutoModelForObjectDetection.from_pretrained(
                    folder, local_files_only=True, use_safetensors=True
                )
            dtype = DTYPES.get(precision, torch.float32)
            place = torch.device('cpu' if device == 'intel_gpu' else device)
            run = graphs.in_torch(network, place, dtype)
        else:
            place = torch.device('cpu')
            run = graphs.opened(
                folder, size, runtime, where=device, precision=precision, threads=threads
            )
        return cls(run, processor, config, device=place, threads=threads)

    def find(self, frames: Sequence[Frame], min_score: float = LEAST_SCORE) -> list[Objects]:
        """Return what is in frames, all in one forward pass; their boxes are not looked at.

        Detectors whose input has no fixed size see one frame at a time.
        """
        if len(frames) > 1 and not self._takes_all:
            return [found for frame in frames for found in self.find([frame], min_score)]
        if not frames:
            return []
        with torch_threads(self._threads), torch.inference_mode():
            images = [rgb(frame) for frame in frames]
            inputs = self._processor(images=images, return_tensors='pt')
            logits, boxes = self._run(inputs['pixel_values'].to(self._device))
            results = self._processor.post_process_object_detection(
                SimpleNamespace(logits=logits, pred_boxes=boxes),
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


def rgb(frame: Frame) -> NDArray[np.uint8]:
    """Return the pixels of a frame, (h, w, 3) RGB."""
    if frame.channels == 'rgb':
        return frame.pixels
    return np.asarray(cv2.cvtColor(frame.pixels, TO_RGB[frame.channels]), np.uint8)


def _fixed_size(processor: Any) -> tuple[int, int] | None:
    """Return height and width of what a network sees; None where they depend on the image."""
    try:
        return int(processor.size['height']), int(processor.size['width'])
    except (KeyError, TypeError):
        return None


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise DetectorError(f"detector '{folder}' is no directory; give one with {FILES[0]}")
    absent = [name for name in FILES if not (folder / name).is_file()]
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
def _explained(folder: Path, transformers: Any) -> Any:
    """Turn what the library says into an error that names the directory and the remedy.

    Its progress bars are for downloads of its own, which there are none of.
    """
    logging: Any = transformers.utils.logging
    shows = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
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
    finally:
        if shows:
            logging.enable_progress_bar()
