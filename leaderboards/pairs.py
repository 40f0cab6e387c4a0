"""Many pairs of models at once: paired differences over the clips that both were scored on.

The same numbers as `metrics.intervals.compare` of each pair. Tallies that pairs have in common are
resampled once a block: models that were scored on the same clips need one tally each, whoever they
are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leaderboards.clips import Grid
from metrics.batched import BLOCK, Estimates, Layer, Sums, combine
from metrics.intervals import LEVEL

_CLIPS = 1 << 22  # clips of all the tallies of a block, about: 32 MB a column

Places = NDArray[np.intp]


def differences(
    grids: Sequence[Grid],
    one: Sequence[str],
    other: Sequence[str],
    *,
    level: float = LEVEL,
) -> Estimates:
    """`one` minus `other`, pair by pair of fingerprints: the mean over a domain's datasets.

    Both models of every pair must stand in every grid (KeyError). No value where a dataset has no
    clip in common, and none at all without grids.
    """
    most = max((len(grid.keys) for grid in grids), default=0)
    step = min(BLOCK, max(1, _CLIPS // max(most, 1)))
    blocks = [slice(start, start + step) for start in range(0, len(one), step)]
    return Estimates.joined(
        [combine(_layers(grids, one[block], other[block]), level=level) for block in blocks]
    )


def _layers(grids: Sequence[Grid], one: Sequence[str], other: Sequence[str]) -> list[Layer]:
    """All datasets of the one side, then of the other: the order in which `compare` adds."""
    share = np.full(len(one), 1.0 / max(len(grids), 1))
    near, far = [], []
    for grid in grids:
        sums, rows, others = common(
            grid, *(np.array([grid.row(name) for name in side], np.intp) for side in (one, other))
        )
        near.append(Layer(share, sums, rows))
        far.append(Layer(-share, sums, others))
    return [*near, *far]


def common(grid: Grid, one: Places, other: Places) -> tuple[Sums, Places, Places]:
    """Tallies over the clips that both models of each pair were scored on, and each side's rows."""
    masks, of = grid.masks
    same = of[one] == of[other]
    if same.all():
        return grid.sums, one, other
    count = len(masks)
    wanted = np.concatenate(
        [
            one * count + np.where(same, of[one], of[other]),
            other * count + np.where(same, of[other], of[one]),
        ]
    )
    needed, rows = np.unique(wanted, return_inverse=True)
    models, mask = needed // count, needed % count
    sums = grid.summed(models, grid.scored[models] & masks[mask])
    return sums, rows[: len(one)], rows[len(one) :]
