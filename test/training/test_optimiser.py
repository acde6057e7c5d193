"""The optimiser: processes that share the work agree with one that does all of it."""

import copy
from contextlib import nullcontext

import torch
import torch.distributed as dist

from training import processes
from training.network import Trained, config
from training.optimiser import Float32, Optimiser

STEPS = 3


def network():
    torch.manual_seed(3)
    return Trained(config(64, 3, ('coco', 'mpii')), speaks_early=True)


def give_gradients(trained, step):
    """Of COCO alone in the second step."""
    generator = torch.Generator().manual_seed(step)
    for name, parameter in trained.named_parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if step == 1 and 'mpii' in name else gradient


def optimised(process, processes):
    trained = network()
    optimiser = Optimiser(trained, decay=0.1, muon=2.0, process=process, processes=processes)
    for step in range(STEPS):
        give_gradients(trained, step)
        optimiser.step(1e-2)
    return trained, optimiser


def share(process, folder):
    store = dist.FileStore(str(folder / 'store'), 2)
    dist.init_process_group('gloo', rank=process, world_size=2, store=store)
    trained, optimiser = optimised(process, 2)
    saved = (trained.state_dict(), optimiser.state())
    # Go on from what the first process keeps.
    states = [saved[1]]
    dist.broadcast_object_list(states, 0)
    again = Optimiser(trained, decay=0.1, muon=2.0, process=process, processes=2)
    again.load(copy.deepcopy(states[0]))
    give_gradients(trained, STEPS)
    again.step(1e-2)
    torch.save(trained.state_dict(), folder / f'{process}.pt')
    dist.destroy_process_group()


def test_processes_share_the_work_and_agree(tmp_path):
    alone, optimiser = optimised(0, 1)
    give_gradients(alone, STEPS)
    optimiser.step(1e-2)
    processes.join(processes.start(share, (tmp_path,), 2))
    for process in range(2):
        shared = torch.load(tmp_path / f'{process}.pt', weights_only=True)
        for name, value in alone.state_dict().items():
            assert torch.equal(shared[name], value), name


def test_matrices_of_blocks_go_by_orthogonal_steps_and_all_else_by_adamw():
    trained = network()
    before = copy.deepcopy(trained.state_dict())
    optimiser = Optimiser(trained, decay=0.0, muon=2.0, process=0, processes=1)
    give_gradients(trained, 0)
    optimiser.step(1e-2)
    after = trained.state_dict()
    step = (
        after['model.backbone.blocks.1.attn.qkv.weight']
        - before['model.backbone.blocks.1.attn.qkv.weight']
    )
    sizes = torch.linalg.svdvals(step) / (2.0 * 1e-2 * 0.2 * step.shape[0] ** 0.5)
    assert (
        sizes.min() > 0.6
    )  # all directions alike, as large as five Newton-Schulz steps make them
    assert sizes.max() < 1.3
    others = ['model.heads.coco.final_layer.weight', 'early.1.final_layer.weight',
              'model.backbone.blocks.1.norm1.weight']  # fmt: skip
    for name in others:
        step = after[name] - before[name]
        assert torch.allclose(step.abs(), torch.tensor(1e-2), atol=1e-3), name


def test_steps_in_float32_are_those_in_bf16_but_for_rounding():
    networks = [network(), network()]
    for trained, precision in zip(networks, (nullcontext(), Float32()), strict=True):
        optimiser = Optimiser(trained, decay=0.1, muon=2.0, process=0, processes=1)
        optimiser.precision = precision
        give_gradients(trained, 0)
        optimiser.step(1e-2)
    largest = 2.0 * 1e-2 * 0.2 * 256**0.5  # the longest step of a direction, about
    names = dict(networks[0].named_parameters())
    for name, other in networks[1].named_parameters():
        assert torch.allclose(names[name], other, atol=0.02 * largest), name
        assert torch.equal(names[name], other) == (other.ndim != 2 or 'blocks.' not in name), name
