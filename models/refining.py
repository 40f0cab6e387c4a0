"""Explanations made better clip by clip: as small as they can be and still explain.

An explainer that is learnt answers at once, by a network that has to serve every clip; what it says
of one clip can be improved on (semi-amortised inference: Kim et al., ICML 2018; masks by descent
alone, as small as they can be: Fong & Vedaldi, ICCV 2017). Nothing is asked but the classifier: no
true class, no other clip. The steps are Adam's; a clip's own know nothing of another's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from models.explaining import LEVELS
from models.masking import Spectrograms, costs, silenced

RATE = 0.2  # of a step, in what a network says
PRICE, RISING = 100.0, 0.2  # nats for a mask of ones at first; how fast that may change, a step
EVEN = 0.01  # of a clip's gradient: what is far below it moves nothing, for it may be rounding
FAINTEST = 0.5 / LEVELS  # a mask that is nowhere above it is stored as none, and explains nothing
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Clips:
    """A batch to be explained: (clips, time) samples, zeros behind each one's `lengths`; `classes`
    (clips,) to explain; `listen`, as a classifier's; their cells.
    """

    samples: Tensor
    lengths: Tensor
    classes: Tensor
    listen: Callable[[Tensor, Tensor], Any]
    transform: Spectrograms

    @cached_property
    def _spectra(self) -> Tensor:
        return self.transform.forward(self.samples)

    def costs(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """(clips,) twice, of masks (clips, frames, frequencies): how improbable the class is in
        what is kept, and all others in what is removed, in nats; and the mean of the mask.
        """
        kept = self.transform.inverse(self._spectra * masks, self.samples.shape[1])
        kept = silenced(kept, self.lengths)
        both = torch.cat([kept, self.samples - kept])
        kept_as, removed_as = self._said(both, self.lengths.repeat(2)).chunk(2)
        inside, outside = costs(kept_as, removed_as, self.classes)
        frames = self.transform.frames(self.lengths)
        heard = torch.arange(masks.shape[1], device=masks.device) < frames[:, None]
        return inside + outside, (masks.mean(2) * heard).sum(1) / frames

    def improbable(self) -> Tensor:
        """(clips,): how improbable the class is in the whole clip, in nats."""
        said = self._said(self.samples, self.lengths)
        return -said.gather(1, self.classes[:, None])[:, 0]

    def _said(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities (clips, classes), on the clips' own device."""
        found: Tensor = self.listen(samples, lengths).logits
        return found.to(self.samples.device).log_softmax(1)


def refined(
    free: Sequence[Tensor],
    masks: Callable[..., Tensor],
    clips: Clips,
    *,
    steps: int,
    slack: float,
) -> list[Tensor]:
    """What to say instead of `free`, tensors of (clips, …) each, so that `masks(*free)` are as
    small as they can be for `slack` nats more than the class costs in the whole clip.

    The price of a mask's area, each clip's own, rises while the class costs less than that, and
    falls while it costs more. Of all steps, the start among them, the smallest mask that costs no
    more is taken, unless it is empty; where there is none, the one that costs least. Outside
    inference mode. Deterministic; gradients reach nothing else.
    """
    now = [each.clone().requires_grad_() for each in free]
    best = [each.clone() for each in free]
    descent = torch.optim.Adam(now, RATE, eps=EVEN)
    allowed = clips.improbable() + slack
    price = torch.full_like(allowed, PRICE)
    lowest = torch.full_like(allowed, torch.inf)
    for _ in range(steps + 1):
        with torch.enable_grad():
            said = masks(*now)
            nats, area = clips.costs(said)
            cost = (nats + price * area).sum()
        spare = allowed - nats.detach()
        rank = torch.where(spare >= 0, area.detach(), 1 - spare)  # an area is 1 at most
        rank[said.detach().amax((1, 2)) <= FAINTEST] = torch.inf
        for kept, each in zip(best, now, strict=True):
            kept[rank < lowest] = each.detach()[rank < lowest]
        lowest = lowest.minimum(rank)
        for each, slope in zip(now, torch.autograd.grad(cost, now), strict=True):
            each.grad = _even(slope)
        descent.step()
        price *= torch.exp(RISING * (spare / slack).clamp(-1, 1))
    return best


def _even(slope: Tensor) -> Tensor:
    """A gradient whose root mean square is 1 in each clip, loud or quiet, sure or unsure."""
    size = slope.square().flatten(1).mean(1).sqrt() + TINY
    return slope / size.reshape(-1, *[1] * (slope.ndim - 1))
