"""Networks on speech samples with a CTC head, by the transformers library: wav2vec 2.0 (Baevski et
al. 2020), HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022) and their kin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.adapters import huggingface
from models.decoding import ByCTC, Vocabulary
from models.neural import Pretrained

if TYPE_CHECKING:
    import torch

# Their masks were shown to keep padding out of every clip's answer.
MASKED = ("hubert", "wav2vec2", "wavlm")
FLOOR = 1e-7  # added to a clip's variance, as in training


@dataclass(kw_only=True)
class CTC(ByCTC, Pretrained):
    """A CTC checkpoint of characters: wav2vec 2.0, HuBERT, WavLM or another that hears samples.

    A clip is normalised over its own samples where the checkpoint's feature extractor says so. With
    layer normalisation in the convolutions and an attention mask, clips of any lengths share a
    batch. With group normalisation, which runs over time, only those of one length do.
    """

    version = "1"
    libraries = ("torch", "transformers")
    sample_rate = 16_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._normalise = True

    def _build(self) -> Any:
        folder = self.folder
        found = huggingface.network(folder, "AutoModelForCTC")
        extractor = huggingface.part(folder, "Wav2Vec2FeatureExtractor")
        config = found.config
        if not hasattr(config, "conv_kernel") or extractor.sampling_rate != self.sample_rate:
            raise ValueError(
                f"{folder}: expected a network that hears samples at {self.sample_rate} Hz, found "
                f"{config.model_type!r} at {extractor.sampling_rate} Hz"
            )
        self._normalise = extractor.do_normalize
        self.shortest = receptive_field(config.conv_kernel, config.conv_stride)
        layered = getattr(config, "feat_extract_norm", None) == "layer"
        masked = config.model_type in MASKED and not getattr(config, "add_adapter", False)
        self.padding = "exact" if layered and masked else "none"
        tokenizer = huggingface.part(folder, "Wav2Vec2CTCTokenizer")
        self._write_with(vocabulary(tokenizer, config.vocab_size, str(folder)))
        return found

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[str]:
        heard = normalised(batch, lengths) if self._normalise else batch
        if self.padding != "exact":  # all of one length
            logits = self._network(heard).logits
            return self._written(logits, [logits.shape[1]] * len(batch))
        import torch

        mask = torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
        logits = self._network(heard, attention_mask=mask.long()).logits
        config = self._network.config
        frames = [
            conv_frames(size, config.conv_kernel, config.conv_stride) for size in lengths.tolist()
        ]
        return self._written(logits, frames)


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that one frame of a chain of convolutions needs."""
    samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def conv_frames(samples: int, kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Frames that a chain of convolutions without padding makes of so many samples."""
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def normalised(batch: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(clips, time) with each clip's own samples at mean 0 and variance 1, zeros behind its end;
    gradients flow.
    """
    import torch

    found = []
    for clip, size in zip(batch, lengths.tolist(), strict=True):
        own = clip[:size]
        level = (own - own.mean()) / (own.var(correction=0) + FLOOR).sqrt()
        found.append(torch.nn.functional.pad(level, (0, len(clip) - size)))
    return torch.stack(found)


def vocabulary(tokenizer: Any, columns: int, where: str) -> Vocabulary:
    """A tokenizer's tokens by column; ValueError unless it is one of characters for CTC."""
    delimiter = getattr(tokenizer, "word_delimiter_token", None)
    blank = tokenizer.pad_token_id
    if blank is None or not hasattr(tokenizer, "word_delimiter_token"):
        raise ValueError(
            f"{where}: expected a tokenizer of characters for CTC, found "
            f"{type(tokenizer).__name__}; choose a checkpoint with a vocab.json and a padding token"
        )
    by_column = {column: token for token, column in tokenizer.get_vocab().items()}
    marks = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token)
    unknown = [column for column in range(columns) if column not in by_column]
    return Vocabulary(
        tokens=tuple(by_column.get(column, f"<{column}>") for column in range(columns)),
        blank=blank,
        delimiter=delimiter,
        unwritten=frozenset(unknown + [n for n, token in by_column.items() if token in marks]),
        lower=bool(getattr(tokenizer, "do_lower_case", False)),
    )
