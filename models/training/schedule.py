"""How fast our small models learn: Adam with a warm start and a cosine's end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

WARM = 0.05  # share of the steps in which the rate rises


def adam(parameters: Iterable[torch.nn.Parameter], learning_rate: float, steps: int) -> Any:
    """Optimiser and schedule as Lightning wants them: up to the rate, then down to none at the end
    (Loshchilov & Hutter, ICLR 2017).
    """

    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / max(WARM * steps, 1.0))
        return rising * 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))

    optimizer = torch.optim.Adam(parameters, learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return [optimizer], [{"scheduler": schedule, "interval": "step"}]
