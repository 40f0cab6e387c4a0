"""CLAP: sounds and words in one space, by the transformers library.

Wu, Chen, Zhang et al., "Large-scale contrastive language-audio pretraining with feature fusion and
keyword-to-caption augmentation", ICASSP 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.adapters import huggingface
from models.adapters.pooling import check_rate_of, cropped, mean_over_windows, refuse_empty
from models.base import Signal, Vector, check_choice
from models.neural import Pretrained

if TYPE_CHECKING:
    import torch

CROPS = ("mean", "centre")  # over a long clip's windows: the mean of all, or the middle one
TEXTS = 64  # that are embedded together
TINY = 1e-12  # the least length that a vector is divided by


@dataclass(kw_only=True)
class CLAP(Pretrained):
    """A CLAP checkpoint; embeddings have length 1, so that their product is their cosine.

    A clip of up to a window (10 s) is repeated and filled with zeros, as in training. Of a longer
    one the library would hear a random part, or fuse three of them; here every window is heard, and
    their mean, brought back to length 1, is the clip's embedding; `crop="centre"` hears the one in
    the middle alone. Checkpoints with fusion are used without it: they were trained on short clips,
    too.
    """

    task = "embedding"
    version = "1"
    libraries = ("torch", "transformers")
    sample_rate = 48_000
    padding = "exact"

    crop: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "crop", CROPS)
        self._processor: Any = None

    def embed_audio(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Vector]:
        """(dim,) float32 of each (time,) signal; FailedPrediction for one without a sample."""
        self.load()
        check_rate_of(self, sample_rate)
        return self._answers(signals, refuse_empty)

    def embed_text(self, texts: Sequence[str]) -> list[Vector]:
        """(dim,) float32 of each text, in the space of the sounds; no texts, no vectors."""
        self.load()
        found: list[Vector] = []
        for at in range(0, len(texts), TEXTS):
            found += self._of_texts([str(text) for text in texts[at : at + TEXTS]])
        return found

    def _build(self) -> Any:
        folder = self.folder
        found = huggingface.network(folder, "ClapModel")
        self._processor = huggingface.part(folder, "ClapProcessor")
        self.sample_rate = self._processor.feature_extractor.sampling_rate
        return found

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Vector]:
        window = self._processor.feature_extractor.nb_max_samples
        at_once = max(1, int(self.batch_seconds * (self.sample_rate or 1)) // window)
        pairs = zip(batch.cpu().numpy(), lengths.tolist(), strict=True)
        clips = [cropped(row[:size], window, self.crop) for row, size in pairs]
        means = mean_over_windows(clips, window, at_once, self._of_windows)
        return [mean / max(float(np.linalg.norm(mean)), TINY) for mean in means]

    def _of_windows(self, clips: list[Signal]) -> NDArray[np.float32]:
        """(windows, dim) of length 1 each."""
        import torch

        extractor = self._processor.feature_extractor
        # The extractor would call one clip of a batch, drawn at random, longer than it is.
        spectra = extractor(clips, sampling_rate=self.sample_rate, return_tensors="pt")
        longer = torch.zeros((len(clips), 1), dtype=torch.bool, device=self.device)
        found = self._network.get_audio_features(
            spectra["input_features"].to(self.device), is_longer=longer
        )
        return _unit(found)

    def _of_texts(self, texts: list[str]) -> list[Vector]:
        import torch

        read = self._processor.tokenizer(
            texts, padding=True, truncation=True, return_tensors="pt", return_attention_mask=True
        )
        with torch.inference_mode(), self._autocast():
            found = self._network.get_text_features(
                read["input_ids"].to(self.device),
                attention_mask=read["attention_mask"].to(self.device),
            )
        return list(_unit(found))


def _unit(found: Any) -> NDArray[np.float32]:
    """What the library has brought to length 1, (n, dim) float32."""
    vectors: NDArray[np.float32] = found.pooler_output.float().cpu().numpy()
    return vectors
