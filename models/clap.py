"""A small CLAP of our own: two networks that put sounds and words into one space.

Elizalde et al., "CLAP: Learning audio concepts from natural language supervision", ICASSP 2023, in
small: the audio tower is a CNN over log-mel spectra of two seconds, the text tower a mean over
hashed words and letter trigrams (Joulin et al., "Bag of tricks for efficient text classification",
EACL 2017). Neither has seen anything but what `realear train clap` showed it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

RATE = 16_000  # Hz
WINDOW = 2 * RATE  # samples
RANGE = 11.5  # nats of power (50 dB) below a window's strongest point that are heard
QUIET = 1e-10  # power of a band, far below 16 bits
SMALL: dict[str, int] = {
    "mels": 64,
    "width": 16,
    "depth": 4,
    "dim": 128,
    "buckets": 2048,
    "letters": 128,
}
_WORD = re.compile(r"[a-z0-9']+")


def features(text: str, buckets: int) -> list[int]:
    """Numbers below `buckets` of the words of a text and of their letter trigrams; [0] of none.

    By CRC-32: the same on every machine. Case and punctuation say nothing.
    """
    found = []
    for word in _WORD.findall(text.lower()):
        edged = f"<{word}>"
        parts = [word, *(edged[at : at + 3] for at in range(len(edged) - 2))]
        found += [zlib.crc32(part.encode()) % buckets for part in parts]
    return found or [0]


class Spectra(nn.Module):
    """(batch, time) at 16 kHz to (batch, 1, mels, frames): log-mel, 1 at a clip's strongest point,
    0 at 50 dB below it, whatever the level.
    """

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.mel = MelSpectrogram(RATE, n_fft=512, hop_length=320, f_min=50.0, n_mels=mels)

    def forward(self, signals: Tensor) -> Tensor:
        """Spectra of clips of one length."""
        found: Tensor = torch.log(self.mel(signals) + QUIET)
        highest = found.amax((1, 2), keepdim=True)
        return ((found - highest).clamp(min=-RANGE) / RANGE + 1)[:, None]


class Block(nn.Module):
    """A convolution, normalised, and half the size."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, values: Tensor) -> Tensor:
        """(batch, outputs, mels / 2, frames / 2)."""
        return nn.functional.max_pool2d(torch.relu(self.norm(self.conv(values))), 2)


class Clap(nn.Module):
    """Both towers and the temperature; embeddings have length 1."""

    def __init__(
        self, *, mels: int, width: int, depth: int, dim: int, buckets: int, letters: int
    ) -> None:
        super().__init__()
        self.buckets = buckets
        sizes = [1, *(width * 2**n for n in range(depth))]
        self.spectra = Spectra(mels)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(sizes)))
        high = mels // 2**depth
        self.audio = nn.Sequential(
            nn.Linear(2 * sizes[-1] * high, 256), nn.ReLU(), nn.Linear(256, dim)
        )
        self.words = nn.EmbeddingBag(buckets, letters, mode="mean")
        self.text = nn.Sequential(nn.Linear(letters, 256), nn.ReLU(), nn.Linear(256, dim))
        self.scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP

    def sounds(self, signals: Tensor) -> Tensor:
        """(batch, dim) of windows (batch, WINDOW)."""
        heard = self.blocks(self.spectra(signals)).flatten(1, 2)  # (batch, channels, frames)
        pooled = torch.cat([heard.mean(2), heard.amax(2)], dim=1)
        return nn.functional.normalize(self.audio(pooled), dim=1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(texts, dim)."""
        bags = [features(text, self.buckets) for text in texts]
        device = self.scale.device
        starts = torch.tensor([0, *(len(bag) for bag in bags[:-1])], device=device).cumsum(0)
        joined = torch.tensor([number for bag in bags for number in bag], device=device)
        return nn.functional.normalize(self.text(self.words(joined, starts)), dim=1)
