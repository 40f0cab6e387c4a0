"""WHAM! and WHAMR!: WSJ0-2mix in real background noise, and in simulated rooms.

**WHAM!** adds noise, recorded in cafés, restaurants, bars and parks of the San Francisco Bay Area,
to the mixtures of WSJ0-2mix; the first talker is 6 dB below to 3 dB above it. **WHAMR!** puts the
talkers into simulated rooms as well. Both have WSJ0-2mix's 20,000 mixtures for training (`tr`),
5,000 for validation (`cv`) and 3,000 for testing (`tt`), English, 8 kHz and 16 kHz WAV. The noise
is CC BY-NC 4.0; WSJ0 (LDC93S6A) is licensed by the Linguistic Data Consortium, and the mixtures may
not be passed on.

On disk (`min`: cut to the shortest talker, `max`: padded to the longest and the noise around them):

    wav8k/min/tt/{mix_clean,mix_both,mix_single,s1,s2,noise}/447o030v_0.1232_050c0109_-0.1232.wav
    wav8k/min/tt/{mix_both_reverb,mix_both_anechoic,…,s1_reverb,s1_anechoic,…,noise}/… (WHAMR!)
    wham_noise/metadata/mix_param_meta_tt.csv      utterance_id, …, target_speaker1_snr_db
    whamr_scripts/data/reverb_params_tt.csv        utterance_id, room_x, …, T60

`mix_clean` holds both talkers, `mix_both` noise as well, `mix_single` the first talker in noise.
Key: the file's name (dots make it a name with a hash). Speaker: the first three characters of each
utterance id, joined by `+`. References: `s1`, `s2` and `noise`; for `mix_single` `s1` as the clean
signal. WHAMR!'s references are the anechoic signals, so that a model has to take the room away,
unless `reference: reverb` says otherwise. Labels: `split`, `s1_level_db`, `s2_level_db`; `room`
(reverb or anechoic); `snr_db` (first talker against noise, as drawn) where `noise_metadata` names
the folder of the noise's tables; `t60_s` where `room_metadata` names that of the rooms'.

    reader: wham               # or whamr
    folder: wham               # or any folder below, down to one that holds mix_both/
    rate: 8k                   # a choice is needed only where there are several
    length: min
    mixture: mix_both          # whamr: mix_both_reverb, mix_both_anechoic …
    split: [tt]                # default: every split that is there
    noise_metadata: wham_noise/metadata

Gordon Wichern, Joe Antognini, Michael Flynn, Licheng Richard Zhu, Emmett McQuinn, Dwight Crow,
Ethan Manilow, Jonathan Le Roux: WHAM!: Extending Speech Separation to Noisy Environments.
Interspeech 2019. Matthew Maciejewski, Gordon Wichern, Emmett McQuinn, Jonathan Le Roux: WHAMR!:
Noisy and Reverberant Single-Channel Speech Separation. ICASSP 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pipelines.corpora.mixtures import Mixtures, Signals, Table, decimal, entries, refuse_without
from pipelines.corpora.tables import Cells
from pipelines.corpora.wsj0mix import readers
from pipelines.records import Entry


class _Noisy(Mixtures):
    """What WHAM! and WHAMR! share: two talkers, three kinds of mixture, the noise's tables."""

    licence: ClassVar[str] = "LicenseRef-LDC-User-Agreement"
    splits: ClassVar[tuple[str, ...]] = ("tr", "cv", "tt")

    noise_metadata: str = ""  # folder of mix_param_meta_tt.csv …

    def signals(self, part: Path, kind: str, reference: str = "") -> Signals:
        """What lies beside a kind of mixture; `reference` is what follows `s1` in folders."""
        talkers = tuple(self.below(part / f"{talker}{reference}") for talker in ("s1", "s2"))
        single, clean = kind.startswith("mix_single"), kind.startswith("mix_clean")
        return Signals(
            mixture=self.below(part / kind),
            sources=() if single else talkers,
            clean=talkers[0] if single else None,
            noise=None if clean or not (part / "noise").is_dir() else self.below(part / "noise"),
        )

    def table(self, split: str, kind: str) -> Table:
        """The levels of the noise, where there is noise and the user named their tables."""
        table = Table()
        if self.noise_metadata and not kind.startswith("mix_clean"):
            folder, name = Path(self.noise_metadata), f"mix_param_meta_{split}.csv"
            refuse_without("noise_metadata", folder, name)
            table.add(folder / name, "utterance_id", _snr)
        return table


class Wham(_Noisy):
    """Two WSJ0 readers in real noise."""

    kinds: ClassVar[tuple[str, ...]] = ("mix_clean", "mix_both", "mix_single")

    mixture: Literal["mix_clean", "mix_both", "mix_single"] | None = None

    def listed(self) -> Iterator[Entry]:
        """One entry a mixture."""
        kind, parts = self.parts(self.mixture)
        for split, part in parts.items():
            labels = {"split": split} if split else {}
            signals, table = self.signals(part, kind), self.table(split, kind)
            yield from entries(self.folder, signals, table, readers, labels=labels)


class Whamr(_Noisy):
    """Two WSJ0 readers in real noise and simulated rooms."""

    kinds: ClassVar[tuple[str, ...]] = (
        "mix_clean_anechoic",
        "mix_both_anechoic",
        "mix_single_anechoic",
        "mix_clean_reverb",
        "mix_both_reverb",
        "mix_single_reverb",
    )

    mixture: (
        Literal[
            "mix_clean_anechoic",
            "mix_both_anechoic",
            "mix_single_anechoic",
            "mix_clean_reverb",
            "mix_both_reverb",
            "mix_single_reverb",
        ]
        | None
    ) = None
    reference: Literal["anechoic", "reverb"] = "anechoic"
    room_metadata: str = ""  # folder of reverb_params_tt.csv …

    def listed(self) -> Iterator[Entry]:
        """One entry a mixture."""
        kind, parts = self.parts(self.mixture)
        room = kind.rpartition("_")[2]
        for split, part in parts.items():
            table = self.table(split, kind)
            if self.room_metadata and room == "reverb":
                folder, name = Path(self.room_metadata), f"reverb_params_{split}.csv"
                refuse_without("room_metadata", folder, name)
                table.add(folder / name, "utterance_id", _t60)
            labels = {"room": room} | ({"split": split} if split else {})
            signals = self.signals(part, kind, f"_{self.reference}")
            yield from entries(self.folder, signals, table, readers, labels=labels)


def _snr(row: Cells) -> dict[str, str]:
    return {"snr_db": decimal(row["target_speaker1_snr_db"])}


def _t60(row: Cells) -> dict[str, str]:
    return {"t60_s": decimal(row["T60"])}
