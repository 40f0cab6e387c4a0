"""How fast our small models learn: Adam, or Muon, with a warm start and a cosine's end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.optim import Adam, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR

WARM = 0.05  # share of the steps in which the rate rises
MUON_TIMES = 7.0  # Adam's rate: singular values of a matrix's step, where Adam's are single numbers


def adam(parameters: Iterable[torch.nn.Parameter], learning_rate: float, steps: int) -> Any:
    """Optimiser and schedule as Lightning wants them: up to the rate, then down to none at the end
    (Loshchilov & Hutter, ICLR 2017).
    """
    return _scheduled(Adam(parameters, learning_rate), steps)


def muon(
    weights: Sequence[torch.nn.Parameter],
    others: Sequence[torch.nn.Parameter],
    learning_rate: float,
    steps: int,
) -> Any:
    """The same with Muon for `weights` of hidden layers, at `MUON_TIMES` the rate (Jordan et
    al., 2024: momentum whose singular values are made alike), and Adam for the `others`. Kernels
    of convolutions are matrices of (outputs, inputs × size).
    """
    return _scheduled(MuonWithAdam(weights, others, learning_rate), steps)


class MuonWithAdam(Optimizer):
    """Torch's Muon and Adam as the one optimiser that Lightning steps by itself.

    Torch's Muon takes matrices alone, so it is given flat views of the kernels.
    """

    def __init__(
        self,
        weights: Sequence[torch.nn.Parameter],
        others: Sequence[torch.nn.Parameter],
        learning_rate: float,
    ) -> None:
        self._weights = list(weights)
        self._flat = [torch.nn.Parameter(one.detach().view(len(one), -1)) for one in self._weights]
        self._parts = (
            Muon(self._flat, MUON_TIMES * learning_rate, weight_decay=0.0),
            Adam(list(others), learning_rate),
        )
        super().__init__([*self._weights, *others], {})
        # The very groups of both, so that a schedule reaches them.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both; the loss that `closure` computes, if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for flat, weight in zip(self._flat, self._weights, strict=True):
            flat.grad = None if weight.grad is None else weight.grad.flatten(1)
        for part in self._parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of the kernels themselves, too, which stand in no group."""
        super().zero_grad(set_to_none)
        for weight in self._weights:
            weight.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Of both, in turn; a training that was cut off goes on from it."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def _scheduled(optimizer: Optimizer, steps: int) -> Any:
    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / max(WARM * steps, 1.0))
        return rising * 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))

    return [optimizer], [{"scheduler": LambdaLR(optimizer, factor), "interval": "step"}]
