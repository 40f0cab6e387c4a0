"""Muon and Adam as one optimiser: what each of them does, the schedule, and going on."""

import copy

import pytest
import torch
from torch import nn

from models.blind_networks import Spectral
from models.training.schedule import MUON_TIMES, muon


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 4, 5, bias=False), nn.ReLU(), nn.Conv1d(4, 2, 1))


def parts(of: nn.Sequential, steps: int = 10):
    [optimizer], [schedule] = muon([of[0].weight], list(of[2].parameters()), 1e-2, steps)
    return optimizer, schedule["scheduler"]


def step(of: nn.Sequential, optimizer, scheduler) -> float:
    torch.manual_seed(1)
    loss = of(torch.randn(8, 3, 20)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return loss.item()


def test_a_step_has_alike_singular_values_and_adam_moves_the_rest():
    one = network()
    before = copy.deepcopy(one.state_dict())
    optimizer, scheduler = parts(one, steps=1)
    step(one, optimizer, scheduler)
    moved = (before["0.weight"] - one[0].weight.detach()).flatten(1)
    values = torch.linalg.svdvals(moved) / (MUON_TIMES * 1e-2)
    assert values.min() > 0.5
    assert values.max() < 1.5
    change = (before["2.weight"] - one[2].weight.detach()).abs()
    torch.testing.assert_close(change, torch.full_like(change, 1e-2), rtol=1e-3, atol=0)


def test_the_schedule_reaches_both_and_ends_at_nothing():
    one = network()
    optimizer, scheduler = parts(one, steps=4)
    rates = []
    for _ in range(4):
        step(one, optimizer, scheduler)
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert rates[-1] == pytest.approx([0, 0], abs=1e-9)
    assert rates[0][0] / rates[0][1] == pytest.approx(MUON_TIMES)


def test_no_gradient_is_left_over():
    one = network()
    optimizer, scheduler = parts(one)
    step(one, optimizer, scheduler)
    optimizer.zero_grad()
    assert all(each.grad is None for each in one.parameters())


def test_it_goes_on_from_its_state_as_if_nothing_had_happened():
    straight, cut = network(), network()
    optimizer, scheduler = parts(straight)
    losses = [step(straight, optimizer, scheduler) for _ in range(6)]
    optimizer, scheduler = parts(cut)
    for _ in range(3):
        step(cut, optimizer, scheduler)
    states = copy.deepcopy([each.state_dict() for each in (cut, optimizer, scheduler)])
    again = network()
    optimizer, scheduler = parts(again)
    for each, state in zip((again, optimizer, scheduler), states, strict=True):
        each.load_state_dict(state)
    assert [step(again, optimizer, scheduler) for _ in range(3)] == losses[3:]


def test_kernels_in_another_layout_are_refused_not_lost():
    one = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="view"):
        muon([one.weight], [one.bias], 1e-3, 10)


def test_every_convolution_of_the_judge_is_muons():
    one = Spectral(8_000, width=8, context=16)
    kernels = {m.weight for m in one.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)}
    assert set(one.hidden()) == kernels - {one.near.weight, one.far.weight}
