"""A network in training that sees a crop of each person."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from training.losses import heatmap_loss, targets
from training.network import Trained, autocast, config, follow, write_network
from training.optimiser import Optimiser, cooling
from training.recipes import Recipe
from training.stream import Stream, Views
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.weights import read_checkpoint
from world import panoramas
from world.panoramas import Panorama
from world.views import Variety


class Training:
    """A network in training, in one of several processes: one that sees a crop of each person."""

    FIGURES: tuple[str, ...] = ('error', 'entropy')  # of the loss, in the log
    LOG_EVERY = 50  # steps

    def __init__(self, recipe: Recipe, folder: Path, cache: Path, process: int) -> None:
        self.recipe = recipe
        self.folder = folder
        self.process = process
        torch.manual_seed(recipe.seed)
        self.network, self.average = self._untrained(), self._untrained()
        self.average.load_state_dict(self.network.state_dict())
        self.step = 0
        self._restarted = 0  # the step of the last restart
        self._new_optimiser()
        scenes = panoramas.load(cache) if recipe.panoramas else []
        variety = Variety(
            recipe.sport,
            recipe.close,
            recipe.covered,
            recipe.glance,
            recipe.front,
            recipe.backs,
            recipe.wheels,
        )
        self._set_out(
            Views(scenes, recipe.seed, process, recipe.pool, recipe.reuse, variety), scenes
        )
        self.sums = dict.fromkeys(self.FIGURES, 0.0)
        self.seconds = 0.0

    def _untrained(self) -> Trained:
        """Return a network with first weights."""
        recipe = self.recipe
        return Trained(config(recipe.embed_dim, recipe.depth, recipe.sets), speaks_early=True)

    def _set_out(self, views: Views, scenes: list[Panorama]) -> None:
        """Take what samples are made of."""
        self.stream = Stream(views, scenes, self.recipe.styled)

    @property
    def samples(self) -> int:
        """How many samples all processes have seen."""
        return self.step * self.recipe.batch

    def train_step(self) -> None:
        """Train one batch."""
        recipe = self.recipe
        if any(self.samples <= at < self.samples + recipe.batch for at in recipe.restarts):
            self.restart()
        self.network.zero_grad(set_to_none=True)
        self._loss().backward()
        self._optimiser.step(self._rate())
        self.step += 1
        self._update_average()

    def _loss(self) -> Tensor:
        """Return the loss of a step's samples."""
        recipe = self.recipe
        counts_of = recipe.mixture.of(self.step)
        batch = self.stream.batch(self.step, counts_of, self._easy())
        batch = {name: batch.get(name, []) for name in recipe.sets}
        samples = [sample for part in batch.values() for sample in part]
        crops = torch.stack([torch.from_numpy(sample.crop) for sample in samples])
        counts = [len(part) for part in batch.values()]
        with autocast():
            heatmaps, early = self.network.forward_early(normalise(crops), counts)
        total = torch.zeros(())
        for maps, (name, part) in zip(heatmaps, batch.items(), strict=True):
            if not part:
                continue
            wanted, known = targets(part, name)
            error, entropy = heatmap_loss(maps.float(), wanted, known)
            loss = error + recipe.entropy * entropy
            if name == recipe.sets[0]:
                self.sums['error'] += float(error.detach())
                self.sums['entropy'] += float(entropy.detach())
                for maps in early:
                    error, entropy = heatmap_loss(maps.float(), wanted, known)
                    loss = loss + recipe.early * (error + recipe.entropy * entropy)
            total = total + len(part) / len(samples) * loss
        return total

    def _rate(self) -> float:
        """Return the learning rate, after a restart from zero."""
        recipe = self.recipe
        falling = cooling(self.samples / recipe.samples, recipe.cool_down)
        return recipe.rate * falling * min(1.0, (self.step - self._restarted + 1) / recipe.warm_up)

    def _easy(self) -> float:
        """Return the share of whole people: easy ones come first."""
        recipe = self.recipe
        left = max(0.0, 1 - self.samples / recipe.easy_until)
        return recipe.easy + (recipe.easy_first - recipe.easy) * left

    def _update_average(self) -> None:
        # At first the average follows closely.
        keep = min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
        follow(self.average, self.network, keep)

    def restart(self) -> None:
        """Go on from the averaged weights, with a new optimiser."""
        self.network.load_state_dict(self.average.state_dict())
        self._restarted = self.step
        self._new_optimiser()

    def _new_optimiser(self) -> None:
        recipe = self.recipe
        self._optimiser = Optimiser(
            self.network,
            decay=recipe.decay,
            muon=recipe.muon,
            process=self.process,
            processes=recipe.processes,
        )

    def save(self) -> None:
        """Write the state to go on from, and the averaged network; called in all processes."""
        optimiser = self._optimiser.state()
        if self.process > 0:
            return
        state = {
            'recipe': asdict(self.recipe),
            'step': self.step,
            'restarted': self._restarted,
            'seconds': self.seconds,
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': optimiser,
        }
        temporary = self.folder / 'state.tmp'
        torch.save(state, temporary)
        temporary.replace(self.folder / 'state.pt')
        write_network(self.average, self.folder / 'network.safetensors')

    def load(self) -> None:
        """Go on from the folder's state, if it has one."""
        path = self.folder / 'state.pt'
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        recipe = self.recipe
        old = asdict(Recipe(**state['recipe']))  # with what recipes have since then
        constant = (1 - recipe.cool_down) * min(old['samples'], recipe.samples)
        if state['step'] * recipe.batch <= constant:  # the rate has not begun to fall
            old['samples'] = recipe.samples
        if old != asdict(recipe):
            raise ValueError(f'{path} is of another recipe; give another folder, or delete it')
        self.step, self._restarted = state['step'], state['restarted']
        self.seconds = state['seconds']
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['average'])
        self._optimiser.load(state['optimiser'])

    def load_weights(self, path: Path, samples: int) -> None:
        """Go on from a network that was written after so many samples."""
        state = {f'model.{k}': v for k, v in read_checkpoint(path).state.items()}
        missing, _ = self.average.load_state_dict(state, strict=False)
        if any('num_batches' not in name and 'early.' not in name for name in missing):
            raise ValueError(f'{path} lacks {", ".join(missing)}')
        self.step = samples // self.recipe.batch
        self.restart()
