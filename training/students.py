"""Who takes part in a transfer of knowledge: a teacher, and students with or without its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.compose import STRIDE, Sample
from training.losses import heatmap_loss, targets, transfer_loss
from training.network import Trained, autocast, config, embed, encode, follow, write_network
from training.optimiser import Optimiser, cooling
from training.stream import Stream
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.model.vit import PATCH_PADDING
from vitpose_ros.core.weights import read_checkpoint

ENTROPY = 0.5  # weight of the cross-entropy of the peaks
RIDGE = 1e-3  # how much small filters are preferred to exact ones


@dataclass(frozen=True)
class Plan:
    """What the students are, and how long they learn."""

    samples: int = 24_000
    parts: int = 2  # that the samples are drawn in
    epochs: int = 3  # how often students see each sample
    tokens: int = 32
    token_samples: int = 3_000  # that the tokens are learned with
    meeting: int = 512  # samples that students take over the teacher's space with
    batch: int = 16
    easy: float = 0.75  # the share of whole people in true boxes
    embed_dim: int = 64
    depth: int = 4
    image_size: tuple[int, int] = (128, 96)  # height, width in pixels
    rate: float = 1.5e-3
    muon: float = 1.5  # the rate of Muon, in parts of that of AdamW
    warm_up: int = 60  # steps
    cool_down: float = 0.4  # the last part of the samples, in which the rate falls to zero
    decay: float = 0.05
    averaging: float = 0.995  # of the weights, a step
    pool: int = 1200
    reuse: int = 8
    held_out: int = 1000
    panoramas: bool = True
    seeds: tuple[int, ...] = (11, 12, 13)


class Teacher:
    """A trained network of the COCO set, and the tokens that were learned with it."""

    def __init__(self, path: Path, tokens: int) -> None:
        """Read a weight file; tokens: how many."""
        self._network = read_checkpoint(path).network('coco')
        self.tokens = nn.Parameter(0.1 * torch.randn(1, tokens, self._network.config.embed_dim))

    def patches(self, pixels: Tensor) -> Tensor:
        """Return what its blocks get of pixels of any size, (n, d, rows, columns)."""
        encoder = self._network.backbone
        with torch.no_grad():
            pixels = resize(pixels, self._network.config.image_size)
            return embed(encoder, pixels).transpose(1, 2).unflatten(2, encoder.grid_size)

    def heatmaps(self, pixels: Tensor) -> Tensor:
        """Return what the teacher says, (n, k, h, w)."""
        with torch.no_grad(), autocast():
            maps: Tensor = self._network(pixels)[0]
        return maps.float()

    def heatmaps_with_tokens(self, pixels: Tensor) -> Tensor:
        """Return what it says with the tokens among the patches, (n, k, h, w)."""
        with autocast():
            encoder = self._network.backbone
            features = encode(encoder, pixels, [len(pixels)], self.tokens)[-1]
            [head] = self._network.heads.values()
            maps: Tensor = head(features)
        return maps.float()

    def learn_tokens(self, stream: Stream, plan: Plan) -> None:
        """Learn the tokens: the teacher stays as it is."""
        for parameter in self._network.parameters():
            parameter.requires_grad_(False)
        optimiser = torch.optim.AdamW([self.tokens], lr=5e-3, weight_decay=0.0)
        for step in range(plan.token_samples // plan.batch):
            samples = stream.batch(step, {'coco': plan.batch}, plan.easy)['coco']
            maps = self.heatmaps_with_tokens(normalise(stack_crops(samples)))
            error, entropy = heatmap_loss(maps, *targets(samples, 'coco'))
            optimiser.zero_grad()
            (error + ENTROPY * entropy).backward()
            optimiser.step()
        self.tokens.requires_grad_(False)


class Student:
    """A small network that learns, with or without help."""

    def __init__(self, plan: Plan, seed: int, tokens: Tensor | None, *, compare: bool) -> None:
        """Take the tokens to learn with, and whether to compare heatmaps with the teacher's."""
        torch.manual_seed(seed)
        shape = config(plan.embed_dim, plan.depth, ('coco',), plan.image_size)
        self._tokens, self._compare, self._plan = tokens, compare, plan
        width = 0 if tokens is None else tokens.shape[-1]
        self._network = Trained(shape, width)
        self.average = Trained(shape, width)
        self.average.load_state_dict(self._network.state_dict())
        self._optimiser = Optimiser(
            self._network, decay=plan.decay, muon=plan.muon, process=0, processes=1
        )

    @torch.no_grad()
    def enter(self, teacher: Teacher, pixels: Tensor) -> None:
        """Begin in the space of the teacher's patches.

        A patch of the student covers several of the teacher: their principal components, as many
        as the student is wide, are what it begins with, through the filters and places that make
        them best (ridge regression). A token counts as a place where all those patches are it.

        pixels: (n, 3, h, w) in the student's size, whose sides divide the teacher's.
        """
        encoder = self._network.model.backbone
        theirs = teacher.patches(pixels)
        span = theirs.shape[2] // encoder.grid_size[0]
        theirs = F.pixel_unshuffle(theirs, span).flatten(2).mT.flatten(0, 1)
        _, axes = torch.linalg.eigh(theirs.T @ theirs)  # the greatest come last
        axes = axes[:, -self._plan.embed_dim :]
        axes *= embed(encoder, pixels).std() / (theirs @ axes).std()
        filters, places = _filters(pixels, theirs @ axes)
        for network in (self._network, self.average):
            encoder = network.model.backbone
            convolution = encoder.patch_embed.proj
            convolution.weight.copy_(filters)
            assert convolution.bias is not None
            convolution.bias.zero_()
            encoder.pos_embed[:, :1] = 0
            encoder.pos_embed[:, 1:] = places
            if isinstance(network.token_in, nn.Linear):
                network.token_in.weight.copy_(axes.unflatten(0, (-1, span**2)).sum(1).T)
                network.token_in.bias.zero_()

    def learn(self, step: int, lessons: 'Lessons') -> None:
        """Learn from a batch: the truth, and what the teacher said."""
        pixels, wanted, known, said = lessons
        plan = self._plan
        with autocast():
            [maps] = self._network(normalise(pixels), [len(pixels)], self._tokens)
        error, entropy = heatmap_loss(maps.float(), wanted.float(), known)
        loss = error + ENTROPY * entropy
        if self._compare:
            error, entropy = transfer_loss(maps.float(), said.float())
            loss = loss + error + ENTROPY * entropy
        self._network.zero_grad(set_to_none=True)
        loss.backward()
        falling = cooling(step * plan.batch / plan.samples / plan.epochs, plan.cool_down)
        self._optimiser.step(plan.rate * falling * min(1.0, (step + 1) / plan.warm_up))
        keep = min(plan.averaging, (1 + step) / (10 + step))
        follow(self.average, self._network, keep)

    def write(self, path: Path) -> None:
        """Write the averaged network as the package reads it: it must do without tokens."""
        if self._tokens is not None:
            raise ValueError(f'{path}: weight files hold no tokens; write a student without')
        write_network(self.average, path)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the averaged network's heatmaps of COCO (n, k, h/4, w/4) of larger pixels."""
        self.average.eval()
        with torch.no_grad():
            small = resize(pixels, self._plan.image_size)
            [maps] = self.average(small, [len(pixels)], self._tokens)
        height, width = pixels.shape[2:]
        return resize(maps, (height // STRIDE, width // STRIDE))


class Lessons(NamedTuple):
    """Samples in the student's size: crops, wanted heatmaps, which are known, the teacher's."""

    crops: Tensor  # (n, h, w, 3), 0 to 255
    wanted: Tensor  # (n, k, h/4, w/4), float16
    known: Tensor  # (n, k)
    said: Tensor  # (n, k, h/4, w/4), float16


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images or heatmaps (n, c, h, w) to (height, width): corners stay, as COCO's crops."""
    return F.interpolate(images, size, mode='bilinear', align_corners=True, antialias=True)


def _filters(pixels: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the filters (d, 3, 16, 16) and places (t, d) that make the patches that are wanted.

    pixels: (n, 3, h, w); wanted: (n t, d), as nearly as least squares can.
    """
    patches = F.unfold(pixels, PATCH_SIZE, stride=PATCH_SIZE, padding=PATCH_PADDING)
    count = patches.shape[2]
    places = torch.eye(count).repeat(len(pixels), 1)
    inputs = torch.cat((patches.mT.flatten(0, 1), places), dim=1)
    ridge = RIDGE * len(inputs) * torch.eye(inputs.shape[1])
    solution = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted)
    shape = (wanted.shape[1], pixels.shape[1], PATCH_SIZE, PATCH_SIZE)
    return solution[:-count].T.reshape(shape), solution[-count:]


def stack_crops(samples: list[Sample]) -> Tensor:
    """Return the crops of samples (n, h, w, 3), 0 to 255."""
    return torch.stack([torch.from_numpy(sample.crop) for sample in samples])
