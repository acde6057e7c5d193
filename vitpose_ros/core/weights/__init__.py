"""Weight files to networks.

files: what is safe to read. layouts: foreign tensor names to ours; config_json: what stands beside
them. shapes: what the tensors say of the network. folding: from trained weights to those that
inference needs. known: names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vitpose_ros.core.model.config import PUBLIC_UDP, ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.weights import files, folding
from vitpose_ros.core.weights.files import CheckpointError, State
from vitpose_ros.core.weights.known import (
    EMBEDDED_MODEL,
    KNOWN_MODELS,
    KnownModel,
    find_model,
    models_command,
    models_directory,
    path_of,
)
from vitpose_ros.core.weights.layouts import rename
from vitpose_ros.core.weights.shapes import (
    check_numbers,
    check_shapes,
    read_config,
    write_metadata,
)

__all__ = [
    'EMBEDDED_MODEL',
    'KNOWN_MODELS',
    'Checkpoint',
    'CheckpointError',
    'KnownModel',
    'find_model',
    'load_network',
    'models_command',
    'models_directory',
    'path_of',
    'read_checkpoint',
    'write_checkpoint',
]


@dataclass(frozen=True)
class Checkpoint:
    """A trained network as a file has it, checked."""

    path: Path
    layout: str  # 'vitpose_ros', 'original' or 'Hugging Face'
    config: ViTPoseConfig  # not folded, with all keypoint sets that are usable
    state: State  # under our names

    def network(
        self,
        keypoint_sets: str | Sequence[str] | None = None,
        *,
        image_size: tuple[int, int] | None = None,
    ) -> ViTPose:
        """Build the network for inference, in float32 on the CPU.

        keypoint_sets: which to keep, the file's first if none is given. image_size: height and
        width in pixels, if not the one that it was trained with.
        """
        config, state = self.select(keypoint_sets)
        try:
            config, state = folding.resize_positions(
                config, state, image_size or config.image_size
            )
        except ValueError as error:
            raise CheckpointError(f"weights '{self.path}': {error}") from error
        # Copies, because the tensors read may be windows on a file that somebody replaces.
        state = {name: t.to(torch.float32, copy=True) for name, t in state.items()}
        config, state = folding.fold(config, state)
        if not all(tensor.isfinite().all() for tensor in state.values()):
            raise CheckpointError(
                f"weights '{self.path}': its batch norm and deconvolutions in one are not finite "
                'in float32; the file is damaged, or its training diverged'
            )
        with torch.device('meta'):
            network = ViTPose(config)
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False)

    def select(self, keypoint_sets: str | Sequence[str] | None) -> tuple[ViTPoseConfig, State]:
        """Return configuration and tensors of these keypoint sets, the file's first if None.

        Raises CheckpointError, which says where to get them, for sets that are not there.
        """
        chosen = _names(keypoint_sets) or self.config.keypoint_sets[:1]
        for name in chosen:
            if name not in SKELETONS:
                raise CheckpointError(
                    f"keypoint set '{name}' is not known; known are {', '.join(SKELETONS)}"
                )
            if name not in self.config.keypoint_sets:
                raise CheckpointError(
                    f"weights '{self.path}' give {', '.join(self.config.keypoint_sets)}, not "
                    f"'{name}'. {self._where_to_get(name)}"
                )
        return folding.select_sets(self.config, self.state, chosen)

    def _where_to_get(self, keypoint_set: str) -> str:
        split = f'vitpose-small-{keypoint_set}'
        reason = ''
        if self.layout == 'Hugging Face':
            reason = 'Hugging Face files of ViTPose++ hold the COCO head alone. '
        return (
            f'{reason}Weights for it are in the original ViTPose++ checkpoints with several heads '
            f"('vitpose-plus-base'), and in the split ones ('{split}' and larger): "
            f'{models_command("fetch", split)}'
        )


def read_checkpoint(
    model: str | Path = EMBEDDED_MODEL, keypoint_sets: str | Sequence[str] | None = None
) -> Checkpoint:
    """Read and check a known model, a file, or a Hugging Face directory, in any known layout.

    keypoint_sets: what will be asked of it. That matters for files whose single head of 17
    keypoints may be COCO's, AP-10K's or APT-36K's; left out, it counts as COCO's, or as that of
    the known model. Raises CheckpointError, which names the file, what is wrong with it, and the
    remedy.
    """
    keypoint_sets = _names(keypoint_sets)
    known = KNOWN_MODELS.get(str(model))
    if known is not None and len(known.keypoint_sets) == 1:
        keypoint_sets = known.keypoint_sets
    weights = rename(files.read(find_model(model)), keypoint_sets)
    config = read_config(weights, known.udp if known else PUBLIC_UDP)
    check_shapes(weights, config)
    check_numbers(weights)
    return Checkpoint(weights.path, weights.layout, config, weights.state)


def load_network(
    model: str | Path = EMBEDDED_MODEL,
    keypoint_sets: str | Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
) -> ViTPose:
    """Load a network, ready for inference, in float32 on the CPU.

    model: a known name, a file, or a Hugging Face directory. keypoint_sets: which to keep, in
    this order, as in 'coco,ap10k'; the file's first if none is given. With a single one the
    network is a plain transformer. image_size: height and width in pixels, multiples of 16;
    positions are interpolated where they were trained for another size.
    Raises CheckpointError, which names the file, what is wrong with it, and the remedy.
    """
    checkpoint = read_checkpoint(model, keypoint_sets)
    return checkpoint.network(keypoint_sets, image_size=image_size)


def _names(keypoint_sets: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of keypoint sets, each once; they may come as a string with commas."""
    if isinstance(keypoint_sets, str):
        keypoint_sets = [name.strip() for name in keypoint_sets.split(',') if name.strip()]
    return tuple(dict.fromkeys(keypoint_sets or ()))


def write_checkpoint(path: Path, config: ViTPoseConfig, state: State) -> None:
    """Write a network in our format: a safetensors file with the configuration in its metadata.

    config and state: as trained, not folded; state under our names.
    """
    state = {name: t for name, t in state.items() if not name.endswith('num_batches_tracked')}
    files.write(path, state, write_metadata(config))
