"""LibriMix and SparseLibriMix: LibriSpeech readers mixed, with WHAM! noise or without.

**LibriMix** is made by its authors' scripts from LibriSpeech's clean sets and the noise of WHAM!,
two or three talkers at a time, who overlap fully. English, 8 kHz and 16 kHz WAV. Licence:
LibriSpeech is CC BY 4.0, WHAM!'s noise CC BY-NC 4.0, so what holds noise is non-commercial.

| | train-360 | train-100 | dev | test |
| --- | --- | --- | --- | --- |
| Libri2Mix, mixtures and hours | 50,800, 212 | 13,900, 58 | 3,000, 11 | 3,000, 11 |
| Libri3Mix, mixtures and hours | 33,900, 146 | 9,300, 40 | 3,000, 11 | 3,000, 11 |

On disk (`min`: cut to the shortest talker, `max`: padded to the longest):

    Libri2Mix/wav8k/min/test/{mix_clean,mix_both,mix_single,s1,s2,noise}/<mixture>.wav
    Libri2Mix/wav8k/min/metadata/metrics_test_mix_both.csv    mixture_ID, source_1_SNR, …

Key: the mixture's id, the utterance ids of its talkers joined by `_`. Speaker: their LibriSpeech
numbers joined by `+`. References: `s1`, `s2` (`s3`) and `noise`; for `mix_single` (first talker in
noise) `s1` as the clean signal. Labels: `split`; `snr_db` (speech against noise), `s1_snr_db` … (a
talker against all else) from the metrics tables; `gender` (as F+M) and `s1_gain`, …, `noise_gain`
from LibriMix's own metadata, where `metadata` names its folder.

    reader: librimix
    folder: Libri2Mix          # or any folder above or below, down to one that holds mix_clean/
    talkers: 2                 # a choice is needed only where there are several
    rate: 8k
    length: min
    mixture: mix_both
    split: [test]              # default: every split that is there
    metadata: LibriMix/metadata/Libri2Mix

Folders `mix/`, `s1/`, `s2/` of mixtures with such names (`mixture: mix`) are read, too.

**SparseLibriMix** is a test set whose talkers overlap more or less, as in conversation: mixtures of
two and of three talkers with overlap ratios of 0, 0.2, 0.4, 0.6, 0.8 and 1, 500 for each, made of
LibriSpeech test-clean and WHAM!'s noise.

    sparse_2_0.2/wav8000/{mix_clean,mix_noisy,s1,s2,noise}/mix_0000001.wav
    metadata/sparse_2_0.2/metadata.json         who says what and when

Key: talkers, overlap in percent and the mixture's name. Split: `sparse_2_0.2` …; label `overlap`.
Speaker and the labels `text_1`, `text_2`, … (what each talker says) from metadata.json, where
`metadata` names its folder.

    reader: sparselibrimix
    folder: sparse_libri
    rate: 8k
    mixture: mix_clean
    split: [sparse_2_0, sparse_2_1]
    metadata: SparseLibriMix/metadata

Joris Cosentino, Manuel Pariente, Samuele Cornell, Antoine Deleforge, Emmanuel Vincent: LibriMix: An
Open-Source Dataset for Generalizable Speech Separation. arXiv:2005.11262, 2020.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipelines.corpora.base import Corpus
from pipelines.corpora.layout import pick, subfolders
from pipelines.corpora.listing import bad_line, chosen, contents
from pipelines.corpora.mixtures import (
    Labels,
    Mixtures,
    Signals,
    Table,
    decimal,
    entries,
    of_kind,
    refuse_without,
    source_folders,
)
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, RealEarError

_UTTERANCE = re.compile(r"(\d+)-\d+-\d+")
_CONDITION = re.compile(r"sparse_(\d+)_([\d.]+)")
_SPARSE_RATES = {"8k": "wav8000", "16k": "wav16000"}


class LibriMix(Mixtures):
    """Mixtures of two or three LibriSpeech readers, clean or in noise."""

    licence: ClassVar[str] = "CC-BY-NC-4.0"
    kinds: ClassVar[tuple[str, ...]] = ("mix_clean", "mix_both", "mix_single", "mix")
    splits: ClassVar[tuple[str, ...]] = ("train-100", "train-360", "dev", "test")

    talkers: int | None = Field(None, ge=2, le=10)
    mixture: Literal["mix_clean", "mix_both", "mix_single", "mix"] | None = None
    metadata: str = ""  # folder of LibriMix's own tables (gains, sexes)

    def above(self) -> Path:
        """`Libri2Mix` or `Libri3Mix`, where the user's folder holds them."""
        folders = {str(talkers): f"Libri{talkers}Mix" for talkers in range(2, 11)}
        wanted = None if self.talkers is None else str(self.talkers)
        return pick(Path(self.folder), "talkers", folders, wanted)

    def listed(self) -> Iterator[Entry]:
        """One entry a mixture."""
        kind, parts = self.parts(self.mixture)
        for split, part in parts.items():
            sources = source_folders(part)
            table = Table()
            metrics = f"metrics_{split}_{kind}.csv"
            table.add(self.place() / "metadata" / metrics, "mixture_ID", _snrs)
            if self.metadata:
                own = f"libri{len(sources)}mix_{_official(split)}"
                refuse_without("metadata", Path(self.metadata), f"{own}.csv", f"{own}_info.csv")
                table.add(Path(self.metadata, f"{own}.csv"), "mixture_ID", _gains)
                table.add(Path(self.metadata, f"{own}_info.csv"), "mixture_ID", _sexes)
            signals = self._signals(part, kind, sources)
            labels = {"split": split} if split else {}
            yield from entries(self.folder, signals, table, readers, labels=labels)

    def _signals(self, part: Path, kind: str, sources: list[str]) -> Signals:
        """What lies beside a kind of mixture."""
        noisy = kind in {"mix_both", "mix_single"} and (part / "noise").is_dir()
        single = kind == "mix_single"
        return Signals(
            mixture=self.below(part / kind),
            sources=() if single else tuple(self.below(part / name) for name in sources),
            clean=self.below(part / sources[0]) if single else None,
            noise=self.below(part / "noise") if noisy else None,
        )


class SparseLibriMix(Corpus):
    """Mixtures of LibriSpeech readers who overlap only in part."""

    licence: ClassVar[str] = "CC-BY-NC-4.0"
    language: ClassVar[str] = "en"

    rate: Literal["8k", "16k"] | None = None
    mixture: Literal["mix_clean", "mix_noisy"] | None = None
    split: tuple[str, ...] = ()
    metadata: str = ""  # folder of SparseLibriMix's own metadata

    def listed(self) -> Iterator[Entry]:
        """One entry a mixture."""
        here = Path(self.folder)
        inside = {name: here / name for name in subfolders(here) if _CONDITION.fullmatch(name)}
        if _CONDITION.fullmatch(here.resolve().name):
            inside = {here.resolve().name: here}
        if not inside:
            raise RealEarError(
                f"expected folders such as sparse_2_0.2/ in {here}, found {contents(here)}: "
                "let `folder` name the folder that SparseLibriMix was written to"
            )
        wanted = {split: inside[split] for split in chosen("split", self.split, inside)}
        rated = {split: pick(w, "rate", _SPARSE_RATES, self.rate) for split, w in wanted.items()}
        kind, parts = of_kind(rated, ("mix_clean", "mix_noisy"), self.mixture, here)
        for split, part in parts.items():
            yield from self._condition(split, part, kind)

    def _condition(self, split: str, part: Path, kind: str) -> Iterator[Entry]:
        """Every mixture of as many talkers and as much overlap."""
        place = part.relative_to(self.folder).as_posix()
        noisy = kind == "mix_noisy" and (part / "noise").is_dir()
        signals = Signals(
            mixture=f"{place}/{kind}",
            sources=tuple(f"{place}/{name}" for name in source_folders(part)),
            noise=f"{place}/noise" if noisy else None,
        )
        talkers, overlap = split.removeprefix("sparse_").split("_")
        table, speakers = self._metadata(split)
        yield from entries(
            self.folder,
            signals,
            table,
            lambda name: (speakers.get(name, ()), {}),
            labels={"split": split, "overlap": overlap},
            prefix=f"{talkers}-{round(100 * float(overlap)):03d}-",
        )

    def _metadata(self, split: str) -> tuple[Table, dict[str, tuple[str, ...]]]:
        """What each talker says, and who the talkers are, by mixture."""
        table, speakers = Table(), {}
        if not self.metadata:
            return table, {}
        where = Path(self.metadata, split, "metadata.json")
        table.files.append(where.name)
        for number, item in enumerate(_json_list(where), 1):
            try:
                name, talkers, texts = _said(item)
            except (KeyError, TypeError, AttributeError, ValueError):
                table.bad.append(bad_line(Path(f"{split}.json"), number, str(item)))
            else:
                speakers[name], table.labels[name] = talkers, texts
        return table, speakers


def readers(name: str) -> tuple[tuple[str, ...], Labels]:
    """The LibriSpeech readers of a mixture's name; none where the name says nothing of them."""
    found = [_UTTERANCE.fullmatch(part) for part in name.split("_")]
    return tuple(match[1] for match in found if match) if all(found) else (), {}


def _official(split: str) -> str:
    """LibriMix's tables name the sets of LibriSpeech: dev-clean, train-clean-100."""
    return split.replace("train-", "train-clean-") if "-" in split else f"{split}-clean"


def _snrs(row: Cells) -> Labels:
    """Each talker against all else; speech against noise, of which the table has the inverse."""
    found = {
        f"s{column.split('_')[1]}_snr_db": decimal(value)
        for column, value in row.items()
        if re.fullmatch(r"source_\d+_SNR", column)
    }
    if "noise_SNR" in row:
        found["snr_db"] = decimal(-float(row["noise_SNR"]))
    return found


def _gains(row: Cells) -> Labels:
    return {
        column.replace("source_", "s"): decimal(value)
        for column, value in row.items()
        if re.fullmatch(r"(source_\d+|noise)_gain", column)
    }


def _sexes(row: Cells) -> Labels:
    sexes = sorted(value for column, value in row.items() if column.endswith("_sex"))
    if set(sexes) - {"F", "M"}:
        raise ValueError("expected F or M")
    return {"gender": "+".join(sexes)}


def _json_list(where: Path) -> list[Any]:
    if not where.is_file():
        raise RealEarError(f"metadata: expected {where}, found no file there")
    try:
        found = json.loads(where.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RealEarError(f"{where}: expected JSON, found something else: {error}") from error
    if not isinstance(found, list):
        raise RealEarError(f"{where}: expected a list of mixtures, found {type(found).__name__}")
    return found


def _said(mixture: dict[str, Any]) -> tuple[str, tuple[str, ...], Labels]:
    """Name, talkers and texts of a mixture of metadata.json."""
    talkers = sorted(key for key in mixture if re.fullmatch(r"s\d+", key))
    name = str(mixture["mixture_name"])
    if not talkers or not name or "/" in name:
        raise ValueError("no talkers or no name")
    speakers = tuple(str(mixture[talker][0]["spk_id"]) for talker in talkers)
    words = [" ".join(w for part in mixture[talker] for w in part["words"]) for talker in talkers]
    return name, speakers, {f"text_{n}": text for n, text in enumerate(words, 1)}
