"""Recognisers: 16 kHz speech in, words out.

PocketSphinx (Huggins-Daines et al., "PocketSphinx: a free, real-time continuous speech recognition
system for hand-held devices", ICASSP 2006) is the project's only recogniser that needs no download:
its US English acoustic and language model come in the wheel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Model, Signal, check_number, check_signal

INT16_SCALE = 32768  # of full scale ±1; int16 / 32768 and back is exact


@dataclass(kw_only=True)
class PocketSphinx(Model):
    """PocketSphinx with the wheel's US English model; lower case words, "" for none.

    Beams are likelihood ratios to the best path: a hypothesis below is dropped, so larger is
    narrower, faster and worse. The defaults are the library's. A clip too short to hold a frame
    of speech (about 0.1 s) gives ""; silence gives "" or, the model's own error, a short word.
    """

    task = "recognition"
    version = "1"
    libraries = ("pocketsphinx",)
    sample_rate = 16000

    beam: float = 1e-48
    phone_beam: float = 1e-48
    word_beam: float = 7e-29
    max_hmms_per_frame: int = 30000
    """Most hidden Markov models kept active in a frame of 10 ms; -1: no limit."""
    _decoder: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("beam", "phone_beam", "word_beam"):
            check_number(self, name, 1e-300, 1.0)
        check_number(self, "max_hmms_per_frame", -1, 10**6)

    def load(self) -> None:
        """Read the acoustic model, the dictionary and the language model (0.3 s, 100 MB)."""
        if self._decoder is None:
            from pocketsphinx import Decoder

            self._decoder = Decoder(
                samprate=self.sample_rate,
                loglevel="FATAL",
                beam=self.beam,
                pbeam=self.phone_beam,
                wbeam=self.word_beam,
                maxhmmpf=self.max_hmms_per_frame,
            )

    def transcribe(self, signals: Sequence[Signal]) -> list[str]:
        """Words of each (time,) signal at 16 kHz; beyond ±1 it is clipped."""
        return [text for text, _ in self.transcribe_with_confidence(signals)]

    def transcribe_with_confidence(
        self, signals: Sequence[Signal]
    ) -> list[tuple[str, float | None]]:
        """Words as `transcribe` gives them, and their posterior, 0 to 1; None without words.

        It is the joint posterior probability of all the words in the lattice of what the search
        kept: longer texts have lower ones (1e-3 is high for eight words), narrow beams higher ones,
        and it is not calibrated. It orders texts of like length.
        """
        self.load()
        return [self._decode(_int16(signal)) for signal in signals]

    def _decode(self, samples: NDArray[np.int16]) -> tuple[str, float | None]:
        if not samples.size:
            return "", None  # the decoder refuses an empty buffer
        # Noise and mean estimates adapt across utterances and would make the order matter.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(samples.tobytes(), full_utt=True)
        finally:
            self._decoder.end_utt()
        best = self._decoder.hyp()
        # Logarithms in steps of 1.0001 may end a step above 1.
        return (best.hypstr, min(float(best.prob), 1.0)) if best else ("", None)


def _int16(signal: Signal) -> NDArray[np.int16]:
    scaled = np.rint(check_signal(signal) * INT16_SCALE)
    return np.clip(scaled, -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)
