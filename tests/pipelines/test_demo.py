"""The demo: which suite it builds for which folder, and a tiny one end to end."""

import csv
import json
from pathlib import Path

import pytest

from pipelines import demo
from pipelines import evaluate as step
from pipelines.config import parse_suite
from pipelines.records import RealEarError
from pipelines.shards.datasets import RandomReader

SIMULATED = {"readings-in-rooms", "pairs-in-rooms", "noisy-in-rooms", "sounds-by-telephone"}
SYNTHETIC = {"readings", "pairs", "noisy", "sounds"}
SOURCES = {"talkers"}  # what pairs are mixed of: on no board


def put(root: Path, *names: str) -> Path:
    """Files of a layout, which is told by names alone: no audio in them, but texts."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            {".txt": "ten green bottles\n", ".tsv": "1\tten green bottles\n"}.get(path.suffix, "")
        )
    return root


def test_without_recordings_there_is_no_real_column():
    suite = demo.suite()
    assert suite.datasets.keys() == SYNTHETIC | SIMULATED | SOURCES
    assert [comparison.real for comparison in suite.comparisons.values()] == [[], [], [], []]
    assert {comparison.task for comparison in suite.comparisons.values()} == {
        "recognition", "separation", "enhancement", "zero-shot"
    }  # fmt: skip
    assert all(dataset.redistribute for dataset in suite.datasets.values())
    step.check_models(suite)
    step.check_datasets(suite)


def test_simulated_is_never_called_real():
    suite = demo.suite()
    for name, dataset in suite.datasets.items():
        assert dataset.domain == ("simulated" if name in SIMULATED else "synthetic")
    for comparison in suite.comparisons.values():
        assert set(comparison.simulated) <= SIMULATED
        assert set(comparison.synthetic) <= SYNTHETIC
        assert comparison.simulated
        assert comparison.synthetic


LAYOUTS = {
    "texts beside": (["anna/1.wav", "anna/1.txt", "bob/2.flac"], {"recognition"}),
    "transcripts": (["transcripts.tsv", "1.wav"], {"recognition"}),
    "noisy and clean": (["noisy/1.wav", "clean/1.wav"], {"enhancement"}),
    "mixtures": (["mix/1.wav", "s1/1.wav", "s2/1.wav"], {"separation"}),
    "mixtures alone": (["mix/1.wav"], {"separation"}),
    "all three": (
        [
            "transcripts.tsv",
            "1.wav",
            "mix/1.wav",
            "s1/1.wav",
            "s2/1.wav",
            "noisy/2.wav",
            "clean/2.wav",
        ],
        {"recognition", "enhancement", "separation"},
    ),
}


@pytest.mark.parametrize(("names", "tasks"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(tmp_path, names, tasks):
    suite = demo.suite(str(put(tmp_path, *names)))
    yours = {name for name in suite.datasets if name.startswith("yours-")}
    assert yours == {f"yours-{task}" for task in tasks}
    for task, comparison in suite.comparisons.items():
        assert comparison.real == ([f"yours-{task}"] if task in tasks else [])
    for name in yours:
        assert suite.datasets[name].domain == "real"
        assert not suite.datasets[name].redistribute
    step.check_datasets(suite)


def test_oracles_are_not_asked_about_mixtures_whose_sources_nobody_has(tmp_path):
    alone = demo.suite(str(put(tmp_path / "a", "mix/1.wav"))).comparisons["separation"]
    parted = demo.suite(str(put(tmp_path / "b", "mix/1.wav", "s1/1.wav", "s2/1.wav")))
    assert "blind_si_snr" in alone.metrics
    assert alone.models == ["mixture", "nmf", "small-conv-tasnet"]
    assert parted.comparisons["separation"].models == [*alone.models, "oracle-irm"]
    assert demo.suite().comparisons["separation"].models == [*alone.models, "oracle-irm"]


@pytest.mark.parametrize(
    ("name", "header", "tasks"),
    [
        ("manifest.csv", "path,text,speaker", {"recognition"}),
        ("manifest.csv", "\ufeffpath,text", {"recognition"}),
        ("manifest.tsv", "path\tclean", {"enhancement"}),
        ("manifest.jsonl", '{"path": "1.wav", "sources": ["a.wav", "b.wav"]}', {"separation"}),
        ("manifest.csv", "path,text,clean", {"recognition", "enhancement"}),
    ],
)
def test_a_manifest_tells_by_its_columns(tmp_path, name, header, tasks):
    (tmp_path / name).write_text(f"{header}\n", encoding="utf-8")
    found = demo.real_corpora(str(tmp_path))
    assert found.keys() == tasks
    corpus = {"reader": "manifest", "file": str(tmp_path / name)}
    assert all(given == corpus for given in found.values())


@pytest.mark.parametrize(("texts", "voices"), [(1, 8), (3, 8), (7, 5), (32, 1), (40, 1)])
def test_few_words_of_the_users_are_read_by_several_voices(tmp_path, texts, voices):
    for number in range(texts):
        put(tmp_path, f"{number}.wav")
        (tmp_path / f"{number}.txt").write_text(f"sentence number {number}")
    recipe = demo.suite(str(tmp_path)).datasets["readings"].recipe
    assert recipe["readings_per_text"] == voices
    assert texts * voices >= 8  # every voice is heard: babble wants six talkers


def test_the_users_own_words_are_read_aloud(tmp_path):
    suite = demo.suite(str(put(tmp_path, "1.wav", "1.txt")))
    assert suite.datasets["readings"].needs == ("yours-recognition",)
    # What is made of the user's words is the user's to give away.
    made = [dataset for name, dataset in suite.datasets.items() if not name.startswith("yours")]
    assert not any(dataset.redistribute for dataset in made)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.wav"], r"expected one of these, found none of them:\n.*KEY.wav beside KEY.txt"),
        (["notes.txt"], r"found none of them:"),
        (["mix/1.wav", "s1/1.wav"], r"mix/, s1/ and s2/KEY.wav"),
        (["noisy/1.wav"], r"noisy/KEY.wav and clean/KEY.wav"),
        (["manifest.csv"], r"expected a column text, clean or sources beside path, found "),
        (["manifest.jsonl"], r"expected a JSON object a line"),
    ],
)
def test_an_unknown_layout_is_told_what_is_known(tmp_path, names, message):
    with pytest.raises(RealEarError, match=message):
        demo.suite(str(put(tmp_path, *names)))


def test_no_folder():
    with pytest.raises(RealEarError, match="expected a folder of recordings, found none at /no/"):
        demo.suite("/no/where")


@pytest.fixture
def recordings(evaluated, tmp_path) -> Path:
    """Four clips with transcripts and three of them noisy and clean, as a user would have them."""
    place = tmp_path / "recordings"
    for name in ("noisy", "clean"):
        (place / name).mkdir(parents=True)
    reader = RandomReader(str(evaluated / "datasets/noisy"))
    lines = []
    for key in sorted(reader.rows)[:3]:
        clip = reader[key]
        (place / f"{key}.flac").write_bytes(clip.read("clean"))
        (place / f"noisy/{key}.flac").write_bytes(clip.read())
        (place / f"clean/{key}.flac").write_bytes(clip.read("clean"))
        lines.append(f"{key}\t{clip.row.text}\n")
    reader.close()
    (place / "transcripts.tsv").write_text("".join(lines))
    return place


def test_a_tiny_demo(realear, recordings, monkeypatch, tmp_path):
    def tiny(*arguments, **options):
        value = json.loads(whole(*arguments, **options).model_dump_json(exclude_unset=True))
        for name, dataset in value["datasets"].items():
            many = name in ("readings", "talkers") or name.startswith("sounds")
            dataset["limit"] = 24 if many else 3
        value["comparisons"]["recognition"]["models"] = ["pocketsphinx-narrow"]
        return parse_suite(value, "demo")

    whole = demo.suite
    monkeypatch.setattr(demo, "suite", tiny)
    ended = realear("demo", "--real", recordings, "--out", tmp_path / "out", "--workers", 1)
    assert ended.code == 0, ended.text
    rows = list(csv.DictReader((tmp_path / "out/site/demo/board.csv").read_text().splitlines()))
    values = {
        (row["comparison"], row["model"], row["quantity"]): row["value"]
        for row in rows
        if not row["dataset"]
    }
    for comparison, model in [("recognition", "pocketsphinx-narrow"), ("enhancement", "wiener")]:
        domains = [float(values[comparison, model, name]) for name in ("synthetic", "real")]
        assert values[comparison, model, "simulated"]
        gap = float(values[comparison, model, "gap"])
        sign = 1 if comparison == "recognition" else -1  # a higher WER is worse, a lower PESQ is
        assert gap == pytest.approx(sign * (domains[1] - domains[0]), abs=1e-7)
    assert ("separation", "nmf", "real") not in values or not values["separation", "nmf", "real"]
    page = (tmp_path / "out/site/demo/index.html").read_text(encoding="utf-8")
    assert "RealEar demo with your recordings" in page
    again = realear("demo", "--real", recordings, "--out", tmp_path / "out", "--workers", 1)
    assert "was logged before" in again.text
