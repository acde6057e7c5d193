"""Knowledge transfer: what students are compared with, and that they start alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training.losses import transfer_loss
from training.network import embed
from training.students import Plan, Student, Teacher, resize
from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.core.weights import load_network


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


def test_students_without_tokens_are_written_as_the_package_reads_them(tmp_path):
    plan = Plan()
    path = tmp_path / 'student.safetensors'
    student = Student(plan, 5, None, compare=True)
    student.write(path)
    small = torch.randn(2, 3, *plan.image_size, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        [expected] = student.average.eval()(small, [2])
        [found] = load_network(path, 'coco')(small)
    assert (found - expected).abs().max() < 1e-2 * expected.abs().max()
    with pytest.raises(ValueError, match='hold no tokens'):
        Student(plan, 5, torch.randn(1, 3, 192), compare=True).write(path)


def test_students_begin_in_the_space_of_the_teachers_patches():
    plan = Plan(embed_dim=64, depth=1)
    teacher = Teacher(Path('models/nano.safetensors'), 3)
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(1, 3, 192, generator=generator)
    student = Student(plan, 5, tokens, compare=False)
    coarse = torch.randn(48, 3, 24, 18, generator=generator)
    pixels = F.interpolate(coarse, plan.image_size, mode='bilinear', align_corners=True)
    student.enter(teacher, pixels[:32])
    network = student.average
    with torch.no_grad():
        seen, unseen = teacher.patches(pixels).double().split((32, 16))
        mine = embed(network.model.backbone, pixels[32:]).flatten(0, 1).double().numpy()
        joined = network.token_in(tokens)[0].double().numpy()

    def four(patches):  # a patch of the student covers two rows and two columns of the teacher's
        n, d, rows, columns = patches.shape
        patches = patches.numpy().reshape(n, d, rows // 2, 2, columns // 2, 2)
        return patches.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 4 * d)

    axes = np.linalg.svd(four(seen), full_matrices=False)[2][:64]
    theirs = four(unseen) @ axes.T
    theirs_joined = np.repeat(tokens[0].double().numpy(), 4, axis=1) @ axes.T
    # Axes have no sign, and no order among equals; products of patches and tokens need neither.
    scale = mine.std() / theirs.std()
    for found, wanted in ((mine, theirs), (joined, theirs_joined)):
        difference = found @ mine.T - scale**2 * wanted @ theirs.T
        assert np.abs(difference).mean() < 0.1 * np.abs(found @ mine.T).mean()
