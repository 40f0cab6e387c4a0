"""Explainers that are learnt for one classifier: PIQ and L2I, trained here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from models import explaining
from models.adapters.pooling import check_rate_of, refuse_empty
from models.base import Model, Signal, check_number, check_signal
from models.explaining import Explainer, Mask
from models.neural import Neural
from models.own import Trained

Said: TypeAlias = tuple[Sequence[Any], Callable[..., Any]]
"""Tensors of (clips, …), which may be refined, and what makes masks of them."""
PACE = 2.0  # of L2I's steps, against PIQ's


class Asking(Neural, Explainer):
    """Base of explainers that compute their masks from a batch in torch."""

    inside: ClassVar[bool] = True

    def warm_up(self) -> None:
        """Load; the pair that it is asked in warms up both."""
        self.load()

    def explain(
        self,
        signals: Sequence[Signal],
        classifier: Model,
        classes: Sequence[int],
        *,
        sample_rate: int,
        **_references: Any,
    ) -> list[Mask]:
        """See `models.explaining`; FailedPrediction for a signal without a sample."""
        self.load()
        check_rate_of(self, sample_rate)
        self.check(classifier)
        clips = [check_signal(signal).astype(np.float32) for signal in signals]
        for clip in clips:
            if not len(clip):
                refuse_empty(clip)
        masks: list[Any] = [None] * len(clips)
        for group in self._groups(clips):
            compute = self._asked(classifier, [classes[number] for number in group])
            found = self._batched([clips[number] for number in group], compute)
            for number, mask in zip(group, found, strict=True):
                masks[number] = self._on_grid(mask, len(clips[number]))
        return masks

    def _asked(self, classifier: Any, classes: list[int]) -> Callable[[Any, Any], list[Mask]]:
        """What computes masks of a batch of clips (clips, time) and their lengths, each one's of
        one of the `classes`, over cells of its own.
        """
        raise NotImplementedError

    def _on_grid(self, mask: Mask, samples: int) -> Mask:
        """Such a mask, of a clip of so many samples, at the cells of `models.explaining`."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Interpreter(Trained, Asking):
    """Base of both: a network that hears a classifier's hidden layers and says a mask.

    It explains the one classifier that it was trained for, told by the hash of its weights.

    What the network says is `refined` by so many steps of descent, each clip by itself, to the
    smallest mask that costs no more than `slack` nats in how probable the class is in what is kept
    and the others are in what is removed; see `models.refining`. 0 steps leave it as it is.
    """

    version: ClassVar[str] = "2"
    sample_rate = 16_000

    refined: int = 40
    slack: float = 0.7  # about log 2: half as probable

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "refined", 0, 1000)
        check_number(self, "slack", 1e-3, 1e3)

    def check(self, classifier: Model) -> None:
        """ValueError for any other classifier than its own."""
        super().check(classifier)
        wanted = self._config()["classifier"]
        if classifier.weights != wanted["weights"]:
            raise ValueError(
                f"{self.checkpoint}: expected the classifier {wanted['checkpoint']} that it was "
                f"trained for, found other weights in {getattr(classifier, 'checkpoint', 'it')}: "
                f"train one for these by `realear train`, with classifier=FOLDER"
            )

    def _groups(self, clips: Sequence[Signal]) -> list[list[int]]:
        """Clips of about one length, no more than fill a batch; refined, each by itself, for what
        neighbours change of its rounding a descent would make larger.
        """
        if self.refined:
            return [[number] for number in range(len(clips))]
        at_most = self.batch_seconds * (self.sample_rate or 1)
        groups: list[list[int]] = []
        for number in sorted(range(len(clips)), key=lambda n: len(clips[n])):
            if not groups or (len(groups[-1]) + 1) * len(clips[number]) > at_most:
                groups.append([])
            groups[-1].append(number)
        return groups

    def _asked(self, classifier: Any, classes: list[int]) -> Callable[[Any, Any], list[Mask]]:
        import torch

        places = torch.tensor(classes, device=self.device)

        def compute(batch: Any, lengths: Any) -> list[Mask]:
            # What is made in inference mode has no gradients ever.
            with torch.inference_mode(False), torch.no_grad():
                masks = self._masked(classifier, batch.clone(), lengths.clone(), places)
            return list(masks.float().clamp(0, 1).cpu().numpy())

        return compute

    def _masked(self, classifier: Any, batch: Any, lengths: Any, classes: Any) -> Any:
        """(clips, frames, frequencies) of a batch, refined."""
        from models.masking import Spectrograms, loudness
        from models.refining import Clips, refined

        def listen(samples: Any, sizes: Any) -> Any:
            return classifier.listen(samples.to(classifier.device), sizes.to(classifier.device))

        spectrograms = Spectrograms(self.sample_rate or 0, self.device)
        hidden = [layer.to(self.device) for layer in listen(batch, lengths).hidden]
        heard = loudness(spectrograms.forward(batch).abs())
        free, masks = self._said(hidden, lengths, classes, heard)
        if self.refined:
            clips = Clips(batch, lengths, classes, listen, spectrograms)
            free = refined(free, masks, clips, steps=self.refined, slack=self.slack)
        return masks(*free)

    def _on_grid(self, mask: Mask, samples: int) -> Mask:
        return mask[: explaining.shape(samples, self.sample_rate or 0)[0]].copy()

    def _said(self, hidden: Sequence[Any], lengths: Any, classes: Any, heard: Any) -> Said:
        """What the network says of a batch, and what masks come of it; `heard`, (clips, frames,
        frequencies), is how loud its cells are.
        """
        raise NotImplementedError


@dataclass(kw_only=True)
class TrainedPiq(Interpreter):
    """PIQ (arXiv 2303.12659), see `models.piq`, for a classifier trained here."""

    architecture = "Piq"

    def _build(self) -> Any:
        from models.piq import Piq

        return self._filled(Piq(**self._config()["network"]))

    def _said(self, hidden: Sequence[Any], lengths: Any, classes: Any, heard: Any) -> Said:
        _, words = self._network.quantised(hidden, lengths, classes)
        return [words], lambda near: self._network.masks(near, lengths, heard)


@dataclass(kw_only=True)
class TrainedL2i(Interpreter):
    """L2I (arXiv 2202.11479), see `models.l2i`, for a classifier trained here.

    Components whose relevance for the class is above `threshold`, -1 to 1, are kept; None takes the
    one of the training.
    """

    architecture = "L2i"

    threshold: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None:
            check_number(self, "threshold", -1, 1)

    def _build(self) -> Any:
        from models.l2i import L2i

        return self._filled(L2i(**self._config()["network"]))

    def _said(self, hidden: Sequence[Any], lengths: Any, classes: Any, heard: Any) -> Said:
        import torch

        network = self._network
        found = network(hidden, lengths)
        above = self._config()["threshold"] if self.threshold is None else self.threshold
        gates = (network.relevance(found.pooled, classes) > above).float()

        def masks(stronger: Any, least: Any) -> Any:
            activations = found.activations * torch.exp(PACE * stronger)
            return network.masks(activations, gates, heard, network.least[classes] + PACE * least)

        return [torch.zeros_like(found.activations), torch.zeros_like(gates)], masks
