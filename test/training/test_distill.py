"""Knowledge transfer: what students are compared with, and that they start alike."""

import torch

from training.distill import Plan, Student, resize
from training.losses import transfer_loss
from vitpose_ros.core.heatmaps import decode


def test_the_teachers_own_heatmaps_have_the_least_loss():
    generator = torch.Generator().manual_seed(1)
    said = torch.rand(2, 3, 8, 6, generator=generator)
    heatmaps = said.clone().requires_grad_()
    losses = transfer_loss(heatmaps, said)
    assert losses[0] == 0
    sum(losses).backward()
    assert heatmaps.grad.abs().max() < 1e-6
    other = torch.rand(2, 3, 8, 6, generator=generator)
    assert all(a > b for a, b in zip(transfer_loss(other, said), losses, strict=True))


def test_heatmaps_that_were_made_smaller_and_larger_keep_their_peaks():
    generator = torch.Generator().manual_seed(2)
    points = 6 + torch.rand(4, 17, 2, generator=generator) * torch.tensor([35.0, 51.0])
    x, y = torch.arange(48), torch.arange(64)
    across, down = ((axis - points[..., i, None]) ** 2 / 8 for i, axis in enumerate((x, y)))
    maps = (-down[..., :, None] - across[..., None, :]).exp()
    found, _ = decode(resize(resize(maps, (32, 24)), (64, 48)), udp=True)
    assert (found - points).norm(dim=2).max() < 0.1


def test_students_start_alike_with_and_without_tokens():
    plan = Plan(embed_dim=64, depth=2)
    alone = Student(plan, 5, None, compare=False).average.state_dict()
    helped = Student(plan, 5, torch.randn(1, 3, 192), compare=True).average.state_dict()
    assert set(helped) - set(alone) == {'token_in.weight', 'token_in.bias'}
    assert all(torch.equal(helped[name], value) for name, value in alone.items())
