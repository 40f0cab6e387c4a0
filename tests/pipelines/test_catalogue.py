"""What `realear list` says of models: everything one needs to choose one, at 80 columns."""

import re
from importlib import metadata

import pytest

import models
from models.entries import ModelEntry
from models.registry import ENTRY_POINTS
from pipelines import catalogue

LONG = "a-checkpoint-with-a-name-that-is-longer/than-what-is-left-of-a-line-of-eighty-columns"
ENTRIES = {
    "plain": ModelEntry("models.enhancement:WienerFilter", "a filter", source="Wiener 1949"),
    "floor": ModelEntry("models.enhancement:Noisy", "baseline: nothing"),
    "fetched": ModelEntry(
        "models.adapters.clap:CLAP", "words " * 20, {"checkpoint": "a/b"}, source="Wu et al. 2023",
        licence="unknown", extra="transformers", needs="a/b",
    ),
    "long": ModelEntry(
        "models.adapters.clap:CLAP", "c", {"checkpoint": LONG}, extra="transformers", needs=LONG
    ),
    "given": ModelEntry(
        "models.adapters.clap:CLAP", "any", extra="transformers", needs="a checkpoint"
    ),
}  # fmt: skip


@pytest.fixture
def listed(realear, tmp_path, monkeypatch):
    """Lines of `realear list models` for these entries, or for some entry points besides."""

    def run(**others: str) -> list[str]:
        points = [metadata.EntryPoint(k, v, ENTRY_POINTS) for k, v in others.items()]
        find = metadata.entry_points
        monkeypatch.setattr(
            metadata,
            "entry_points",
            lambda **wanted: points if wanted == {"group": ENTRY_POINTS} else find(**wanted),
        )
        monkeypatch.setattr(models, "MODELS", ENTRIES)
        monkeypatch.setattr("models.registry.MODELS", ENTRIES)
        monkeypatch.setenv("COLUMNS", "80")
        ended = realear("list", "models", "--out", tmp_path)
        assert ended.code == 0, ended.text
        return [line.rstrip() for line in ended.text.splitlines()]

    return run


def facts_of(name: str, lines: list[str]) -> str:
    """What is said below a model's name, in one line."""
    at = next(n for n, line in enumerate(lines) if line.startswith(f"    {name}  "))
    below = []
    for line in lines[at + 1 :]:
        if not line.startswith(" " * 8):
            break
        below.append(line.strip())
    return " ".join(below)


def test_a_model_is_listed_with_all_that_one_must_know(listed):
    lines = listed()
    assert lines[0] == "Models"
    assert "    plain  a filter" in lines
    assert facts_of("plain", lines) == "any rate · Apache-2.0 · Wiener 1949"
    assert facts_of("floor", lines) == "baseline · any rate · Apache-2.0 · RealEar"
    wanted = "48 kHz · licence unknown · Wu et al. 2023 · fetches a/b"
    assert facts_of("fetched", lines).endswith(wanted)
    assert facts_of("given", lines).endswith("needs a checkpoint")


def test_models_stand_by_task_and_by_what_they_come_with(listed):
    headings = [line for line in listed() if re.match(r"  \S", line)]
    assert headings == ["  enhancement", "  embedding, with realear[transformers]"]


def test_lines_fit_the_terminal_and_no_checkpoints_name_is_broken(listed):
    lines = listed()
    assert sum(f"fetches {LONG}" in line for line in lines) == 1
    assert max(len(line) for line in lines if LONG not in line) <= 80


def test_models_of_other_packages_are_listed_even_if_one_is_broken(listed, doubles):
    lines = listed(theirs="listeners:Optimist", broken="nowhere:Model")
    assert "    theirs  A judge to whom everything sounds alike." in lines
    assert facts_of("theirs", lines) == "any rate · listeners:Optimist"
    assert "  cannot be loaded" in lines
    assert "expected the entry point 'broken' (nowhere:Model) to load" in " ".join(lines)


def test_every_model_of_ours_is_there_once():
    listed = [model.name for model in catalogue.listed_models()]
    assert len(set(listed)) == len(listed)
    assert set(models.MODELS) <= set(listed)
    for model in catalogue.listed_models():
        assert model.summary
        assert model.task in {"recognition", "separation", "enhancement", "classification",
                              "embedding", "quality", "explanation"}  # fmt: skip


def test_tasks_say_what_is_asked_and_what_it_is_scored_by(realear, tmp_path):
    said = " ".join(realear("list", "tasks", "--out", tmp_path).text.split())
    assert "classification classify scored by top_1, top_5" in said
    assert "embedding embed_audio stored, not scored clip-wise" in said
