"""The demo: a suite with nothing downloaded; the user's own recordings are its real column."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from pipelines import corpora
from pipelines.config import Suite, parse_suite
from pipelines.corpora.base import SUFFIXES
from pipelines.records import RealEarError

SENTENCES = 32
# The timbres of US English that a US English recogniser follows about as well as it follows people
# (20-35 % word errors, against 27 % on read speech); others double its errors before any room does.
VOICES = [
    f"en-us{variant}" for variant in ("", "+f1", "+f2", "+f5", "+m1", "+m6", "+klatt", "+klatt4")
]
# Timbres that the small separator that comes with RealEar did not learn from.
TALKERS = [f"en-us{variant}" for variant in ("", "+f3", "+m2", "+m4", "+m5", "+m8", "+klatt")]
LAYOUTS = """\
  KEY.wav beside KEY.txt            its transcript: recognition
  transcripts.tsv beside *.wav      KEY <tab> words: recognition
  manifest.csv (.tsv, .jsonl)       path and text, clean or sources (;): what it names
  noisy/KEY.wav and clean/KEY.wav   enhancement
  mix/, s1/ and s2/KEY.wav          separation
  mix/KEY.wav                       separation whose sources nobody has: by guesses"""

ROOM = {"t60_s": [0.2, 0.4], "distance_m": [0.5, 1.2]}
MODELS = {
    "recognition": ["pocketsphinx", "pocketsphinx-narrow"],
    "separation": ["mixture", "nmf", "small-conv-tasnet", "oracle-irm"],
    "enhancement": ["noisy", "wiener", "spectral-gating"],
    "zero-shot": ["small-clap"],
}
METRICS: dict[str, dict[str, Any]] = {
    "recognition": {"wer": {"normaliser": "basic"}},
    "separation": {"si_snri": {}, "stoi": {}, "blind_si_snr": {}},
    "enhancement": {"pesq": {}, "stoi": {}},
    "zero-shot": {"top_1": {}},
}
SLICES = {
    "recognition": ["duration", "snr"],
    "separation": ["duration", "overlap"],
    "enhancement": ["snr", "duration"],
    "zero-shot": [],
}
WORDS = {"prompts": ["bare", "sounds"], "probe": True}  # of the zero-shot comparison
TREATED = ("-in-rooms", "-by-telephone")  # how the names of simulated sets end
TITLES = {
    "recognition": "Speech recognition",
    "separation": "Two talkers apart",
    "enhancement": "Speech out of noise",
    "zero-shot": "Sounds by their names",
}


def suite(real: str | None = None, *, tolerate: float = 0.0) -> Suite:
    """The demo's suite; RealEarError if `real` holds recordings in no layout that it knows."""
    found = real_corpora(real) if real is not None else {}
    datasets: dict[str, Any] = _synthetic(_own_texts(found))
    for task, corpus in found.items():
        datasets[f"yours-{task}"] = {"domain": "real", "corpus": corpus, "tolerate": tolerate}
    columns = {
        "recognition": ("readings", "readings-in-rooms"),
        "separation": ("pairs", "pairs-in-rooms"),
        "enhancement": ("noisy", "noisy-in-rooms"),
        "zero-shot": ("sounds", "sounds-by-telephone"),
    }
    comparisons = {
        task: {
            "task": task,
            "title": TITLES[task],
            "models": _models(task, found.get(task, {})),
            "metrics": METRICS[task],
            "slices": SLICES[task],
            "synthetic": [clean],
            "simulated": [rooms],
            "real": [f"yours-{task}"] if task in found else [],
            **(WORDS if task == "zero-shot" else {}),
        }
        for task, (clean, rooms) in columns.items()
    }
    title = "RealEar demo" if real is None else "RealEar demo with your recordings"
    value = {"name": "demo", "title": title, "datasets": datasets, "comparisons": comparisons}
    return parse_suite(value, "demo")


def _models(task: str, real: dict[str, Any]) -> list[str]:
    """The task's models; without oracles where real mixtures came without the truth."""
    blind = task == "separation" and bool(real) and real.get("sources") == []
    return [name for name in MODELS[task] if not (blind and name.startswith("oracle"))]


def _own_texts(found: dict[str, dict[str, Any]]) -> int:
    """How many different transcripts the user's recordings have; 0 where they have none."""
    if "recognition" not in found:
        return 0
    entries = corpora.create(found["recognition"], "--real").entries()
    return len({entry.text for entry in entries if entry.text and entry.fault is None})


def _synthetic(own_text: int) -> dict[str, Any]:
    """Clean readings, and what rooms and noise make of them; the user's own words if there are.

    Few words are read by several voices each: scenes need different talkers.
    """

    def readings(voices: list[str]) -> dict[str, Any]:
        origin: dict[str, Any] = {"sentences": SENTENCES}
        if own_text:
            each = min(math.ceil(SENTENCES / own_text), len(voices))
            origin = {"of": ["yours-recognition"], "readings_per_text": each}
        return {"kind": "readings", "voices": voices, **origin}

    def scenes(of: str = "readings", **settings: Any) -> dict[str, Any]:
        return {"kind": "scenes", "of": [of], **settings}

    pairs: dict[str, Any] = {"of": "talkers", "talkers": 2, "clips": 16, "sample_rate": 8_000}
    recipes = {
        "readings": readings(VOICES),
        "talkers": readings(TALKERS),
        "readings-in-rooms": scenes(room=ROOM, noise={"snr_db": [10, 25]}),
        "pairs": scenes(**pairs),
        "pairs-in-rooms": scenes(**pairs, room=ROOM, noise={"snr_db": [10, 20]}),
        "noisy": scenes(clips=20, noise={"kinds": ["white"], "snr_db": [0, 10]}),
        "noisy-in-rooms": scenes(
            clips=20, room=ROOM, noise={"kinds": ["babble", "pink"], "snr_db": [0, 10]}
        ),
        "sounds": {"kind": "sounds", "each": 3, "seconds": [1.5, 2.0]},
        "sounds-by-telephone": {
            "kind": "augment",
            "of": ["sounds"],
            "channel": {"telephone": True, "codecs": [{"name": "gsm"}]},
        },
    }
    return {
        name: {
            "domain": "simulated" if name.endswith(TREATED) else "synthetic",
            "recipe": recipe,
            "redistribute": not own_text,
            "licence": "CC0-1.0" if not own_text else "unknown",
            "language": "en",
        }
        for name, recipe in recipes.items()
    }


def real_corpora(folder: str) -> dict[str, dict[str, Any]]:
    """Task to corpus configuration, by what lies in a folder; RealEarError if nothing is known."""
    root = Path(folder)
    if not root.is_dir():
        raise RealEarError(f"--real: expected a folder of recordings, found none at {folder}")
    for suffix in (".csv", ".tsv", ".jsonl"):
        if (manifest := root / f"manifest{suffix}").is_file():
            return _of_manifest(manifest)
    found: dict[str, dict[str, Any]] = {}
    parts = [name for name in ("s1", "s2") if (root / name).is_dir()]
    if (root / "mix").is_dir() and len(parts) != 1:
        sources = [f"{name}/{{file}}" for name in parts]
        found["separation"] = _files(folder, "mix/{name}.*", sources=sources)
    if (root / "noisy").is_dir() and (root / "clean").is_dir():
        found["enhancement"] = _files(folder, "noisy/{name}.*", clean="clean/{file}")
    if (root / "transcripts.tsv").is_file():
        text = {"file": "transcripts.tsv"}
        found["recognition"] = _files(folder, "{name}.*", text=text)
    elif _beside(root):
        found["recognition"] = _files(folder, "**", text={"beside": ".txt"})
    if not found:
        raise RealEarError(
            f"--real {folder}: expected one of these, found none of them:\n{LAYOUTS}"
        )
    return found


def _files(folder: str, audio: str, **settings: Any) -> dict[str, Any]:
    return {"reader": "files", "folder": folder, "audio": audio, **settings}


def _beside(root: Path) -> bool:
    """Whether any recording has a text file next to it."""
    return any(
        path.with_suffix(".txt").is_file()
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
    )


def _of_manifest(manifest: Path) -> dict[str, dict[str, Any]]:
    """The tasks that a manifest's columns speak of."""
    with manifest.open("rb") as file:
        first = file.readline().decode("utf-8-sig", "replace").strip()
    if manifest.suffix == ".jsonl":
        try:
            columns = set(json.loads(first))
        except ValueError as error:
            raise RealEarError(f"{manifest}: expected a JSON object a line: {error}") from error
    else:
        delimiter = "," if manifest.suffix == ".csv" else "\t"
        columns = set(next(csv.reader([first], delimiter=delimiter), []))
    tasks = {"text": "recognition", "clean": "enhancement", "sources": "separation"}
    found = {task: column for column, task in tasks.items() if column in columns}
    if not found:
        listed = ", ".join(sorted(columns))
        raise RealEarError(
            f"{manifest}: expected a column text, clean or sources beside path, found {listed}"
        )
    return {task: {"reader": "manifest", "file": str(manifest)} for task in found}
