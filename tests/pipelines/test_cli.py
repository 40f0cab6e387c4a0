"""The command: help, mistakes that end in one clear message, exit codes, single steps."""

import copy
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import typer

from pipelines import cli, doctor
from pipelines.records import LostWork
from pipelines.shards import datasets

COMMANDS = sorted(typer.main.get_command(cli.app).commands)


def words(ended) -> str:
    """What was said, without line ends and the frames of typer's error boxes."""
    return " ".join(ended.text.replace("│", " ").split())


@pytest.fixture
def refused(realear, tmp_path):
    """Run a command that must end with a message, an exit code of 2, and nothing written."""

    def run(*arguments, code=2):
        before = set(tmp_path.rglob("*"))
        ended = realear(*arguments)
        said = words(ended)
        assert ended.code == code, said
        assert "Traceback" not in said
        assert set(tmp_path.rglob("*")) == before
        return said

    return run


def test_all_commands_are_here():
    wanted = "board cluster demo describe doctor evaluate gc generate list predict prepare score"
    wanted += " train tune verify workers"
    assert wanted.split() == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help(realear, command):
    ended = realear(command, "--help")
    assert ended.code == 0
    assert f"Usage: realear {command}" in words(ended)
    assert "--help" in ended.text
    assert "Traceback" not in ended.text


def test_help_of_the_whole_tells_the_exit_codes(realear):
    ended = realear("--help")
    assert ended.code == 0
    assert all(command in ended.text for command in COMMANDS)
    assert "2 a mistake to mend, 3 more clips failed than tolerated" in words(ended)
    bare = realear()
    assert bare.code == 2
    assert bare.text.strip() == ended.text.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evalute"], "No such command 'evalute'. Did you mean 'evaluate'?"),
        (["list", "modles"], "unknown kind 'modles': did you mean 'models'?"),
        (["list", "--wat"], "No such option: --wat"),
        (["evaluate", "nowhere.yaml"], "expected a YAML file at nowhere.yaml, found nothing there"),
        (["evaluate"], "Missing argument"),
        (["demo", "--wokers", "2"], "unknown option '--wokers': did you mean '--workers'"),
        (["demo", "--workers", "-1"], "greater than or equal to 0"),
        (["demo", "--real", "nowhere"], "expected a folder of recordings, found none at nowhere"),
        (["demo", "--runner", "FlinkRuner"], "unknown runner 'FlinkRuner': did you mean 'Flink"),
        (["demo", "--runner", "DaskRunner"], "--runner DaskRunner is not offered"),
        (["demo", "extra"], "unexpected argument 'extra'"),
        (["score", "--dataset", "d"], "expected one of --predictions and --model"),
        (["prepare", ".", "--name", "a b"], "expected a name of up to 64 letters"),
        (["prepare", ".", "--name", "a", "--domain", "reel"], "'synthetic', 'simulated' or 'real'"),
    ],
)
def test_a_wrong_word_is_refused(refused, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*arguments)


def with_change(small, change) -> dict:
    suite = copy.deepcopy(small)
    change(suite)
    return suite


def put(*path_and_value):
    """A change of a suite: the value at a path of keys."""
    *path, last, value = path_and_value

    def change(suite):
        for key in path:
            suite = suite[key]
        suite[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("compairsons", {}), "unknown key 'compairsons': did you mean 'comparisons'?"),
        (
            put("datasets", "noisy", "licnce", "MIT"),
            "unknown key 'datasets.noisy.licnce': did you mean 'licence'?",
        ),
        (
            put("datasets", "noisy", "recipe", "talkrs", 2),
            "datasets.noisy.recipe: unknown key 'talkrs': did you mean 'talkers'?",
        ),
        (
            put("datasets", "noisy", "recipe", "kind", "scene"),
            "datasets.noisy.recipe: unknown kind 'scene': did you mean 'scenes' or 'covered'?",
        ),
        (
            put("datasets", "noisy", "recipe", {"kind": "scenes"}),
            "datasets.noisy.recipe: expected `of`, the datasets whose clips to use, found none",
        ),
        (
            put("datasets", "more", {"domain": "real", "corpus": {"reader": "fils"}}),
            "datasets.more.corpus: unknown reader 'fils': did you mean 'files'?",
        ),
        (
            put("datasets", "more", {"domain": "real", "corpus": {"folder": ".", "autio": "*"}}),
            "datasets.more.corpus: unknown key 'autio': did you mean 'audio'?",
        ),
        (
            put("datasets", "more", {"domain": "real", "path": "nowhere"}),
            "expected a prepared dataset in nowhere, found no dataset.json",
        ),
        (
            put("comparisons", "words", "synthetic", ["redings"]),
            "unknown dataset 'redings': did you mean 'readings'?",
        ),
        (
            put("comparisons", "words", "task", "recogniton"),
            "unknown task 'recogniton': did you mean 'recognition'?",
        ),
        (
            put("comparisons", "words", "models", ["pocketsphynx"]),
            "unknown model: 'pocketsphynx'; did you mean pocketsphinx",
        ),
        (
            put("comparisons", "words", "models", ["wiener"]),
            "expected one for the task 'recognition', found one for 'enhancement'",
        ),
        (
            put("comparisons", "words", "metrics", {"wr": {}}),
            "unknown metric 'wr'; did you mean 'wer'?",
        ),
        (
            put("comparisons", "words", "metrics", {"wer": {"normalizer": "basic"}}),
            "unknown parameter of wer 'normalizer'; did you mean 'normaliser'?",
        ),
        (
            put("comparisons", "words", "metrics", {"wer": {"normaliser": "basik"}}),
            "normaliser: expected one of",
        ),
        (
            put("models", "slow", "parameters", {"gian": 1.0}),
            "unknown parameter of model 'doubles:Slow': 'gian'; did you mean gain?",
        ),
        (
            put("models", "slow", "model", "doubles:Slwo"),
            "expected 'doubles:Slwo' to name a class as 'module:Class'",
        ),
        (
            put("datasets", "noisy", "domain", "real"),
            "dataset 'noisy' is real, but listed under simulated",
        ),
        (
            put("comparisons", "words", "synthetic", ["noisy"]),
            "dataset 'noisy' is simulated, but listed under synthetic",
        ),
    ],
)
def test_a_wrong_suite_is_refused_before_any_work(
    refused, doubles, small, suite_file, tmp_path, change, message
):
    file = suite_file(tmp_path, with_change(small, change))
    assert message in refused("evaluate", file, "--out", tmp_path / "out", "--workers", 1)


def test_validate_runs_nothing(refused, doubles, small, suite_file, tmp_path):
    file = suite_file(tmp_path, small)
    said = refused("evaluate", file, "--out", tmp_path / "out", "--validate", code=0)
    assert said.endswith("suite.yaml: in order")
    wrong = put("datasets", "noisy", "recipe", "talkrs", 2)
    file = suite_file(tmp_path, with_change(small, wrong))
    assert "did you mean 'talkers'?" in refused("evaluate", file, "--validate")
    file = suite_file(
        tmp_path, with_change(small, put("comparisons", "words", "metrics", {"x": {}}))
    )
    assert "unknown metric 'x'" in refused("evaluate", file, "--validate")


def test_an_unset_variable_and_a_broken_file_are_named(refused, tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text("name: $NOT_SET_AT_ALL\n")
    assert "the environment variable NOT_SET_AT_ALL, found it unset" in refused("evaluate", file)
    file.write_text("name: a\nname: b\n")
    assert "is not valid YAML" in refused("evaluate", file)
    file.write_text("- a list\n")
    assert "expected a mapping of keys, found list" in refused("evaluate", file)


def test_lost_work_is_four_and_a_bug_is_not_hidden(
    realear, monkeypatch, small, suite_file, tmp_path
):
    def fail_with(error):
        def evaluate(*_):
            raise error

        monkeypatch.setattr("pipelines.evaluate.evaluate", evaluate)

    file = suite_file(tmp_path, small)
    fail_with(LostWork("rows in and out differ"))
    ended = realear("evaluate", file, "--out", tmp_path)
    assert (ended.code, "rows in and out differ" in ended.text) == (4, True)
    fail_with(KeyError("a mistake of ours"))
    with pytest.raises(KeyError, match="a mistake of ours"):
        realear("evaluate", file, "--out", tmp_path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("models", "pocketsphinx"),
        ("metrics", "si_snri"),
        ("tasks", "separation"),
        ("corpora", "manifest"),
        ("recipes", "scenes"),
        ("datasets", "readings"),
    ],
)
def test_list(realear, evaluated, kind, name):
    one, everything = realear("list", kind, "--out", evaluated), realear("list", "--out", evaluated)
    assert one.code == everything.code == 0
    assert kind.capitalize() in one.text
    assert name in one.text
    assert name in everything.text


def test_list_says_when_there_is_none(realear, tmp_path):
    assert "none yet" in realear("list", "datasets", "--out", tmp_path).text


def test_doctor_finds_everything(realear):
    ended = realear("doctor")
    assert ended.code == 0, ended.text
    assert "everything that RealEar needs is here" in ended.text
    assert "speech synthesis" in ended.text


def test_doctor_says_what_is_missing(realear, monkeypatch):
    known = doctor.importlib.metadata.version

    def version(name):
        if name == "pystoi":
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    ended = realear("doctor")
    assert ended.code == 2
    assert "1 things are missing" in ended.text
    assert "pip install -c constraints.txt 'pystoi" in words(ended)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four recordings with transcripts, one of them not audio at all."""
    place = tmp_path / "recordings"
    place.mkdir()
    for number in range(4):
        signal = np.random.default_rng(number).uniform(-0.1, 0.1, 8_000)
        soundfile.write(place / f"anna_{number}.wav", signal, 16_000)
        (place / f"anna_{number}.txt").write_text("ten green bottles\n")
    (place / "anna_3.wav").write_bytes(b"not audio at all")
    return place


def test_more_refused_than_tolerated_ends_in_three(realear, folder, tmp_path):
    command = ("prepare", folder, "--name", "anna", "--audio", "{speaker}_{number}.wav")
    command += ("--text", ".txt", "--out", tmp_path / "out", "--workers", 1)
    ended = realear(*command)
    assert ended.code == 3
    assert "1 of 4 clips failed (1 undecodable), tolerated are 0.0%" in words(ended)
    assert "allow them with `tolerate: 0.2" in words(ended)
    ended = realear(*command, "--tolerate", "0.25")
    assert ended.code == 0, ended.text
    assert "anna: 3 clips" in words(ended)
    assert "refused: 1 undecodable" in words(ended)


def test_step_by_step(realear, folder, tmp_path):
    out = ("--out", tmp_path / "out", "--workers", 1)
    (folder / "anna_3.wav").unlink()
    (folder / "anna_3.txt").unlink()
    assert realear("prepare", folder, "--name", "anna", "--text", ".txt", *out).code == 0
    ended = realear("predict", "pocketsphinx-narrow", "anna", *out)
    assert ended.code == 0, ended.text
    assert "Predictions in" in ended.text
    ended = realear("score", "--dataset", "anna", "--model", "pocketsphinx-narrow", *out)
    assert ended.code == 0, ended.text
    assert "Predict pocketsphinx-narrow: all 1 shard up to date" in ended.text
    assert "Recognition on anna" in ended.text
    for wrong, message in [
        (("--model", "pocketsphinks"), "did you mean pocketsphinx"),
        (("--model", "pocketsphinx", "--metric", "wr"), "unknown metric 'wr'; did you mean 'wer'"),
        (("--model", "pocketsphinx", "--metric", "wer:x"), "expected name=value, found 'x'"),
        (("--model", "pocketsphinx", "--task", "separation"), "is one for recognition"),
    ]:
        ended = realear("score", "--dataset", "anna", *wrong, *out)
        assert (ended.code, message in words(ended)) == (2, True), ended.text
    assert len(list((tmp_path / "out/predictions").iterdir())) == 1
    ended = realear("predict", "pocketsphinx", "ana", *out)
    assert (ended.code, "did you mean 'anna'?" in words(ended)) == (2, True)
    ended = realear("predict", "pocketsphinx", "anna", "--set", "beem=1", *out)
    assert (ended.code, "did you mean beam?" in words(ended)) == (2, True)


@pytest.fixture
def submit(realear, evaluated, tmp_path):
    """Score a table of texts by key against the readings of the evaluated workspace."""

    def run(texts: dict[str, str], *options):
        table = tmp_path / "hyp.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("key", "text"), *texts.items()])
        return realear(
            "score", "--predictions", table, "--dataset", evaluated / "datasets/readings",
            "--name", "theirs", "--out", tmp_path / "out", "--workers", 1, *options,
        )  # fmt: skip

    return run


@pytest.fixture
def truth(evaluated) -> dict[str, str]:
    rows = datasets.read_rows(str(evaluated / "datasets/readings/index.parquet"))
    return {row.key: str(row.text) for row in rows}


def ends(tmp_path) -> list[tuple[str, str | None, float | None]]:
    """(end, reason, value) of every clip that was scored for the submission."""
    paths = (tmp_path / "out/scores").glob("theirs-*/readings/wer-*/*.parquet")
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return sorted((row["end"], row["reason"] or "", row["value"] or 0.0) for row in rows)


def test_somebodys_predictions_are_scored_like_a_models(submit, truth, tmp_path):
    ended = submit(truth, "--metric", "wer")
    assert ended.code == 0, ended.text
    assert ends(tmp_path) == [("scored", "", 0.0)] * 9
    assert "theirs" in ended.text


def test_missing_predictions_are_failed_and_end_in_three(submit, truth, tmp_path):
    some = dict(list(truth.items())[2:])
    ended = submit(some, "--metric", "wer")
    assert ended.code == 3
    assert "theirs failed on 2 of 9 in readings" in words(ended)
    assert ends(tmp_path) == [("failed", "missing", 0.0)] * 2 + [("scored", "", 0.0)] * 7
    assert submit(some, "--metric", "wer", "--tolerate", "0.25").code == 0


def test_predictions_for_no_clip_are_an_error(submit, truth, tmp_path):
    key = next(iter(truth))
    ended = submit({**truth, f"{key}x": "who said this"})
    assert ended.code == 2
    assert "1 of 10 predictions are for keys that dataset 'readings' does not have" in words(ended)
    assert f"did you mean {key!r}" in words(ended)
    assert not (tmp_path / "out/scores").exists()


def test_the_installed_command(tmp_path):
    script = Path(sys.executable).with_name("realear")
    ended = subprocess.run(
        [script, "list", "metrics"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "wer" in ended.stdout
    ended = subprocess.run(
        [script, "evaluate", "nowhere.yaml"], cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == ("realear: expected a YAML file at nowhere.yaml, found nothing there\n")


def test_a_suite_may_be_json(refused, doubles, small, tmp_path):
    file = tmp_path / "suite.json"
    file.write_text(json.dumps(small, indent=2))
    assert refused("evaluate", file, "--validate", code=0).endswith("in order")
