"""Whisper (Radford et al., "Robust speech recognition via large-scale weak supervision", 2023), and
what was distilled from it, by the transformers library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.adapters import huggingface
from models.base import Signal, check_choice, check_number
from models.neural import Pretrained

if TYPE_CHECKING:
    import torch

BATCH_SECONDS = {"cpu": 120.0, "cuda": 960.0}  # every clip counts as a whole window
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Beyond these it samples at the next temperature, as in section 4.5 of the paper; its ratio of 2.4
# is of characters, the library's 1.35 of tokens.
FALLBACK = {
    "temperature": TEMPERATURES,
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
}
SEED = 0


@dataclass(kw_only=True)
class Whisper(Pretrained):
    """A Whisper checkpoint that transcribes, never translates; greedy, without sampling.

    `language`: a code such as "de"; None lets the model hear it, clip by clip. Checkpoints for
    English alone take none but "en". `beams`: of the beam search; 1 is greedy. `fallback`: sample
    at rising temperatures where the answer repeats itself or is improbable, as the paper does;
    clips are then asked one by one, each from the same seed.

    A clip of up to a window (30 s) is filled with zeros to it, as in training, and answered without
    time stamps. A longer one goes through the library's sequential algorithm: window by window,
    each from the last time stamp of the one before, not conditioned on its text.
    """

    task = "recognition"
    version = "1"
    libraries = ("torch", "transformers")
    sample_rate = 16_000
    padding = "exact"
    padded_to = 30.0  # seconds, unless the checkpoint's window is another

    language: str | None = None
    beams: int = 1
    fallback: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "beams", 1, 100)
        check_choice(self, "fallback", (False, True))
        if self.language is not None and not re.fullmatch(r"[a-z]{2,3}", str(self.language)):
            raise ValueError(
                f"Whisper: expected language to be a code such as 'en', got {self.language!r}; "
                "leave it out to let the model hear it"
            )
        self._processor: Any = None
        self._asked: dict[str, Any] = {}

    @property
    def batch_seconds(self) -> float:
        """Seconds of audio that one call should hold at most."""
        return BATCH_SECONDS[self.device]

    def transcribe(self, signals: Sequence[Signal]) -> list[str]:
        """Text of each (time,) signal at 16 kHz, with the model's case and punctuation."""
        return self._answers(signals, empty=lambda _: "")

    def _build(self) -> Any:
        folder = self.folder
        found = huggingface.network(folder, "AutoModelForSpeechSeq2Seq")
        self._processor = huggingface.part(folder, "AutoProcessor")
        extractor = self._processor.feature_extractor
        if not hasattr(extractor, "n_samples") or extractor.sampling_rate != self.sample_rate:
            kind = found.config.model_type
            raise ValueError(
                f"{folder}: expected a Whisper checkpoint at {self.sample_rate} Hz, found {kind!r}"
            )
        self.padded_to = extractor.n_samples / self.sample_rate
        extractor.dither = 0.0  # noise would make two answers to one clip differ
        self._asked = {"do_sample": False, "num_beams": self.beams, **self._words(found)}
        if self.fallback:
            self._asked |= FALLBACK
        return found

    def _words(self, found: Any) -> dict[str, str | None]:
        """Language and task as the library is to be told them: nothing if it knows one alone."""
        config = found.generation_config
        if not getattr(config, "is_multilingual", False):
            if self.language not in (None, "en"):
                raise ValueError(
                    f"{self.checkpoint}: expected no language but 'en', for it knows English "
                    f"alone, got {self.language!r}; choose a multilingual checkpoint"
                )
            return {}
        known = [name.strip("<|>") for name in getattr(config, "lang_to_id", {})]
        if self.language is not None and self.language not in known:
            raise ValueError(
                f"{self.checkpoint}: expected a language of {', '.join(sorted(known))}, "
                f"got {self.language!r}"
            )
        return {"language": self.language, "task": "transcribe"}

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[str]:
        clips = [
            row[:size].cpu().numpy() for row, size in zip(batch, lengths.tolist(), strict=True)
        ]
        window = self._processor.feature_extractor.n_samples
        at_once = max(1, int(self.batch_seconds * self.sample_rate) // window)
        groups = [[n] for n, clip in enumerate(clips) if len(clip) > window or self.fallback]
        rest = [n for n, clip in enumerate(clips) if len(clip) <= window and not self.fallback]
        groups += [rest[at : at + at_once] for at in range(0, len(rest), at_once)]
        texts = [""] * len(clips)
        for group in groups:
            for number, text in zip(group, self._texts([clips[n] for n in group]), strict=True):
                texts[number] = text
        return texts

    def _texts(self, clips: list[Signal]) -> list[str]:
        """Text of clips of up to a window, or of one that is longer."""
        import torch

        extractor = self._processor.feature_extractor
        long = len(clips[0]) > extractor.n_samples
        with torch.autocast(self.device, enabled=False):  # half a float is not enough for log-mel
            heard = extractor(
                clips,
                sampling_rate=self.sample_rate,
                padding="longest" if long else "max_length",
                truncation=not long,
                return_tensors="pt",
                device=self.device,
            )
        features = heard["input_features"].to(self.device)
        devices = [features.device] if features.is_cuda else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(SEED)
            ids = self._network.generate(features, return_timestamps=long, **self._asked)
        decoded = self._processor.batch_decode(ids, skip_special_tokens=True)
        return [str(text).strip() for text in decoded]
