"""A network in training that finds everybody in a picture."""

from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import torch
from torch import Tensor

from training import crowd_losses
from training.crop_training import Training
from training.network import Trained, autocast, config
from training.stream import CrowdStream, Views
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.weights import read_checkpoint
from vitpose_ros.core.weights.folding import resize_positions
from world.panoramas import Panorama


class CrowdTraining(Training):
    """One that finds everybody in a picture."""

    FIGURES = ('peaks', 'centres', 'offsets', 'boxes')
    LOG_EVERY = 20

    def _untrained(self) -> Trained:
        recipe = self.recipe
        shape = replace(
            config(recipe.embed_dim, recipe.depth, recipe.sets, recipe.picture),
            bottom_up=True,
            attention=tuple(islice(cycle(recipe.attention), recipe.depth)),
            window_size=recipe.window,
        )
        return Trained(shape)

    def _set_out(self, views: Views, scenes: list[Panorama]) -> None:
        self.crowds = CrowdStream(views, scenes, self.recipe.picture, self.recipe.styled)

    def _loss(self) -> Tensor:
        recipe = self.recipe
        crowds = self.crowds.batch(self.step, recipe.pictures)
        pixels = torch.stack([torch.from_numpy(crowd.picture) for crowd in crowds])
        with autocast():
            [maps] = self.network(normalise(pixels), [len(crowds)])
        parts = crowd_losses.losses(maps.float(), crowd_losses.targets(crowds))
        for name, part in parts.items():
            self.sums[name] += float(part.detach())
        return sum(recipe.weights[name] * part for name, part in parts.items())

    def load_weights(self, path: Path, samples: int) -> None:
        """Go on from a network of either kind; grouping begins anew where it has none."""
        checkpoint = read_checkpoint(path)
        begins_anew = () if checkpoint.config.bottom_up else ('.grouping.',)
        selected = checkpoint.select(self.recipe.sets)
        _, state = resize_positions(*selected, self.recipe.picture)
        model = self.average.model
        missing, unexpected = model.load_state_dict(state, strict=False)
        lacking = [
            name
            for name in missing
            if 'num_batches' not in name and not any(part in name for part in begins_anew)
        ]
        if lacking or unexpected:
            raise ValueError(f'{path} lacks {lacking}, or has {unexpected} more')
        self.step = samples // self.recipe.batch
        self.restart()
