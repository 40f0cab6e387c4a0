"""torchaudio's Emformer RNN-T: a streaming transducer, asked about whole clips.

Beside what `torchaudio_bundles` says, a checkpoint's folder holds `global_stats.json` (`mean` and
`invstddev` of every mel band) and `tokens.model` (SentencePiece); `features` of its `config.json`
may give `n_fft`, `hop_length` and `n_mels`. The blank is the last symbol.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapters.torchaudio_bundles import CONFIG, Bundled
from models.base import Signal, check_number
from models.neural import require

if TYPE_CHECKING:
    import torch

STATISTICS = "global_stats.json"
TOKENS = "tokens.model"
FEATURES = {"n_fft": 400, "hop_length": 160, "n_mels": 80}  # the bundle's own
FULL_SCALE = 32_767.0  # of the 16-bit samples whose power the features were defined on
RIGHT_CONTEXT = 4  # frames


@dataclass(kw_only=True)
class EmformerTransducer(Bundled):
    """Emformer encoder, LSTM predictor and joiner, searched with a beam.

    Shi et al., "Emformer: efficient memory transformer based acoustic model for low latency
    streaming speech recognition", ICASSP 2021; search: torchaudio's RNNTBeamSearch, whose default
    of at most 100 symbols a frame stays. One clip is searched at a time.
    """

    task = "recognition"
    version = "1"
    libraries = ("torch", "torchaudio", "sentencepiece")
    bundles = ("EMFORMER_RNNT_BASE_LIBRISPEECH",)
    architectures = ("emformer_rnnt_model", "emformer_rnnt_base")

    beam: int = 10
    """Hypotheses kept from frame to frame."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "beam", 1, 100)

    def transcribe(self, signals: Sequence[Signal]) -> list[str]:
        """Text of each (time,) signal; "" for one without a sample."""
        return self._answers(signals, empty=lambda _: "")

    def _build(self) -> Any:
        from torchaudio.models import RNNTBeamSearch

        pieces = require("sentencepiece", "transducers")
        network = self.filled()
        statistics, tokens = self._beside()
        blank = network.joiner.linear.out_features - 1
        if self.beam > blank:
            raise ValueError(
                f"{type(self).__name__}: expected a beam of at most {blank}, the symbols without "
                f"the blank, found {self.beam}: say beam={min(10, blank)}"
            )
        self.shortest = self.sample_rate // 10
        self._features = self._extractor(statistics)
        self._pieces = pieces.SentencePieceProcessor(model_file=str(tokens))
        return RNNTBeamSearch(network, blank)

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> list[str]:
        texts = []
        for features, length in zip(*self._features(batch, lengths), strict=True):
            best = self._network(features, length, self.beam)[0]
            texts.append(self._text(best[0][1:]))  # the first symbol is the blank it begins with
        return texts

    def _text(self, symbols: Sequence[int]) -> str:
        """The words that SentencePiece's symbols spell, without the unknown and the ends."""
        unspoken = {self._pieces.unk_id(), self._pieces.eos_id(), self._pieces.pad_id()}
        pieces = [self._pieces.id_to_piece(number) for number in symbols if number not in unspoken]
        return " ".join("".join(pieces).replace("\u2581", " ").split())

    def _keys(self, bundle: Any) -> tuple[str, ...]:
        return (bundle._rnnt_path, bundle._global_stats_path, bundle._sp_model_path)

    def _of_bundle(self, bundle: Any) -> torch.nn.Module:
        made: torch.nn.Module = bundle._rnnt_factory_func()
        return made

    def _beside(self) -> tuple[Path, Path]:
        """The files of statistics and of tokens."""
        if self.bundle:
            _, statistics, tokens = (self._file(key) for key in self._keys(self._source()))
            return statistics, tokens
        found = (self._folder / STATISTICS, self._folder / TOKENS)
        for path in found:
            if not path.is_file():
                raise ValueError(f"{path}: expected a file beside the tensors, found none")
        return found

    def _extractor(
        self, statistics: Path
    ) -> Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """What makes (clips, frames, bands) normalised log mel features and their lengths, with as
        many silent frames behind as the encoder looks ahead.
        """
        import torch
        import torchaudio

        settings = {} if self.bundle else self.config
        wanted = {**FEATURES, **settings.get("features", {})}
        if wanted.keys() != FEATURES.keys():
            raise ValueError(
                f"{self._folder / CONFIG}: expected features of {', '.join(FEATURES)}, found "
                f"{', '.join(wanted)}"
            )
        ahead = settings.get("parameters", {}).get("right_context_length", RIGHT_CONTEXT)
        mel = torchaudio.transforms.MelSpectrogram(self.sample_rate, **wanted).to(self.device)
        known = json.loads(statistics.read_text(encoding="utf-8"))
        mean, scale = (
            torch.tensor(known[name], device=self.device) for name in ("mean", "invstddev")
        )

        def features(
            batch: torch.Tensor, lengths: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            power = mel(batch).transpose(1, 2) * FULL_SCALE**2
            levels = torch.where(power > math.e, power.log(), power / math.e)
            padded = torch.nn.functional.pad((levels - mean) * scale, (0, 0, 0, ahead))
            return padded, torch.full_like(lengths, padded.shape[1])

        return features
