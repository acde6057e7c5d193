"""Knowledge transfer: what students are compared with, and that they start alike."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from training.distill import RIDGE, Plan, Student, Teacher, resize
from training.losses import transfer_loss
from training.network import embed
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


def test_students_begin_with_the_map_of_the_teachers_patches_to_their_own():
    plan = Plan(embed_dim=64, depth=1)
    teacher = Teacher(Path('models/nano.safetensors'), 3)
    student = Student(plan, 5, torch.randn(1, 3, 192), compare=False)
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randn(16, 3, 24, 18, generator=generator)
    pixels = F.interpolate(coarse, plan.image_size, mode='bilinear', align_corners=True)
    student.meet(teacher, pixels)
    network = student.average
    with torch.no_grad():
        theirs = F.avg_pool2d(teacher.patches(pixels), 2).flatten(2).mT.flatten(0, 1)
        mine = embed(network.model.backbone, pixels).flatten(0, 1)
    rows = np.column_stack((theirs.numpy(), np.ones(len(theirs)))).astype(float)
    # Ridge regression is least squares with rows that ask for zero.
    zeros = np.sqrt(RIDGE * len(rows)) * np.eye(rows.shape[1])
    wanted = np.concatenate((mine.numpy(), np.zeros((len(zeros), mine.shape[1]))))
    solution = np.linalg.lstsq(np.concatenate((rows, zeros)), wanted)[0]
    expected = rows @ solution
    found = network.token_in(theirs).detach().numpy()
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
