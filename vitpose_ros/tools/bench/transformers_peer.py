"""The peer: Hugging Face transformers, eager; float32 on the processor, float16 on a GPU."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.model.config import SIZES
from vitpose_ros.core.types import Frame, Precision
from vitpose_ros.tools.bench.subjects import xywh

EXPERTS = 6


class Peer:
    """Processor, model and post-processing of transformers, with random weights of a size."""

    def __init__(self, size: str, device: torch.device | None = None) -> None:
        """Take a size, and where to run: on a GPU in float16, on a processor in float32."""
        from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        shape = SIZES[size]
        about: dict[str, Any] = {
            'hidden_size': shape['embed_dim'],
            'num_hidden_layers': shape['depth'],
            'num_attention_heads': shape['num_heads'],
            'num_experts': EXPERTS,
            'part_features': shape['embed_dim'] // 4,
            'out_indices': [shape['depth']],
        }
        torch.manual_seed(0)
        heads: dict[str, Any] = {'num_labels': 17, 'use_simple_decoder': False}
        config = VitPoseConfig(backbone_config=VitPoseBackboneConfig(**about), **heads)
        self.device = device or torch.device('cpu')
        self.precision: Precision = 'float16' if self.device.type == 'cuda' else 'float32'
        self.dtype: torch.dtype = getattr(torch, self.precision)
        self.model = VitPoseForPoseEstimation(config).eval().to(self.device, self.dtype)
        self.processor = make_processor()

    @contextmanager
    def weights(self) -> Iterator[Path]:
        """Yield a directory with the weights."""
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            yield Path(folder)

    def network(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map network input, where and as the model is, to heatmaps with COCO's expert."""
        experts = torch.zeros(len(pixels), dtype=torch.int64, device=self.device)
        heatmaps: torch.Tensor = self.model(pixels, dataset_index=experts).heatmaps
        return heatmaps

    def predict(self, frame: Frame) -> Any:
        """Map a frame to keypoints."""
        pixels = crop(self.processor, frame).to(self.device, self.dtype)
        heatmaps = self.network(pixels).float().cpu()
        return decode(self.processor, heatmaps, frame.boxes)


def crop(processor: Any, frame: Frame) -> torch.Tensor:
    """Return network input (n, 3, h, w)."""
    given = processor(frame.pixels, boxes=[xywh(frame.boxes)], return_tensors='pt')
    pixels: torch.Tensor = given['pixel_values']
    return pixels


def decode(processor: Any, heatmaps: torch.Tensor, boxes: NDArray[np.float32]) -> Any:
    """Map heatmaps of any number of keypoints to keypoints."""
    outputs = SimpleNamespace(heatmaps=heatmaps)
    return processor.post_process_pose_estimation(outputs, boxes=[xywh(boxes)])


def make_processor() -> Any:
    """Return the processor; the one that needs Pillow alone where there is a choice."""
    try:
        from transformers.models.vitpose.image_processing_pil_vitpose import (
            VitPoseImageProcessorPil,
        )
    except ImportError:
        from transformers import VitPoseImageProcessor

        return VitPoseImageProcessor()
    return VitPoseImageProcessorPil()
