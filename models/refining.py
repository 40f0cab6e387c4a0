"""Explanations made better clip by clip, by descending what their explainer learnt to keep low.

An explainer that is learnt answers at once, by a network that has to serve every clip; what it says
of one clip can be improved on (semi-amortised inference: Kim et al., ICML 2018; masks by descent
alone: Fong & Vedaldi, ICCV 2017). Nothing is asked but the classifier: no true class, no other
clip. Steps are `Adam`'s, whose parts of one clip know nothing of another's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from models.masking import Spectrograms, costs, silenced

RATE = 0.1  # of a step, in what a network says
INSIDE, OUTSIDE = 4.0, 4.0  # weights of `models.masking.costs`
EVEN = 0.01  # gradients far below it move nothing: they may differ by who else is in the batch


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

    def cost(self, masks: Tensor, sparse: float) -> Tensor:
        """(clips,): what masks (clips, frames, frequencies) cost; `sparse` weighs their mean."""
        kept = self.transform.inverse(self._spectra * masks, self.samples.shape[1])
        kept = silenced(kept, self.lengths)
        both = torch.cat([kept, self.samples - kept])
        said = self.listen(both, self.lengths.repeat(2)).logits.log_softmax(1)
        kept_as, removed_as = said.chunk(2)
        inside, outside = costs(kept_as, removed_as, self.classes)
        frames = self.transform.frames(self.lengths)
        heard = torch.arange(masks.shape[1], device=masks.device) < frames[:, None]
        area = (masks.mean(2) * heard).sum(1) / frames
        return INSIDE * inside + OUTSIDE * outside + sparse * area


def refined(
    free: Sequence[Tensor],
    masks: Callable[..., Tensor],
    clips: Clips,
    *,
    steps: int,
    sparse: float,
) -> list[Tensor]:
    """What to say instead of `free`, tensors of (clips, …) each, so that `masks(*free)` cost less.

    Outside inference mode. Deterministic; gradients reach nothing else.
    """
    found = [each.clone().requires_grad_() for each in free]
    descent = torch.optim.Adam(found, RATE, eps=EVEN)
    for _ in range(steps):
        with torch.enable_grad():
            cost = clips.cost(masks(*found), sparse).sum()
        for each, slope in zip(found, torch.autograd.grad(cost, found), strict=True):
            each.grad = slope
        descent.step()
    return [each.detach() for each in found]
