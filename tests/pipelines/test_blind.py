"""Blind metrics from a suite to the board: recordings with and without a truth, judged alike."""

import copy
import csv
import io
import json
import shutil
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from leaderboards import export
from metrics import kendall_tau_b
from pipelines import evaluate, tasks
from pipelines.config import parse_suite
from pipelines.engines import Engine
from pipelines.workspace import Workspace

RATE = 8_000
SPEAKERS = 4
pytestmark = pytest.mark.usefixtures("doubles")


def voice(seed: int, samples: int) -> np.ndarray:
    """Noise of a colour of its own that comes and goes."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    colour = np.convolve(rng.normal(size=samples), [1, (seed % 7) / 4 - 0.8], "same")
    return 0.1 * colour * np.clip(np.sin((3 + seed % 5) * time + seed), 0.02, 1)


def record(folder: Path) -> None:
    """12 mixtures of two with their sources, and 8 recordings without; every fifth is odd."""
    for number in range(12):
        samples = 8_000 + number % 5 // 4
        parts = voice(number, samples), voice(number + 50, samples)
        for name, signal in zip(("mix", "s1", "s2"), (sum(parts), *parts), strict=True):
            (folder / name).mkdir(exist_ok=True)
            target = folder / name / f"{number % SPEAKERS}-{number}.wav"
            soundfile.write(target, signal, RATE)
    (folder / "street").mkdir()
    for number in range(8):
        loud = voice(number, 8_000) + voice(number + 90, 8_000)
        target = folder / "street" / f"{number % SPEAKERS}-{number}.wav"
        soundfile.write(target, (3.0 if number < 6 else 0.5) * loud, RATE)


def suite_of(folder: Path) -> dict:
    def corpus(audio: str, **more: object) -> dict:
        return {"folder": str(folder), "audio": audio, "speaker": "{speaker}", **more}

    mixed = corpus("mix/{speaker}-{n}.wav", sources=["s1/{file}", "s2/{file}"])
    return {
        "name": "blind",
        "datasets": {
            "mixed": {"domain": "synthetic", "shards": 3, "corpus": mixed},
            "street": {"domain": "real", "shards": 2, "corpus": corpus("street/{speaker}-{n}.wav")},
        },
        "tolerate": 1.0,
        "models": {"moody": {"model": "doubles:MoodySeparator"}},
        "comparisons": {
            "apart": {
                "task": "separation",
                "models": ["mixture", "nmf", "moody"],
                "metrics": {
                    "blind_si_snr": {
                        "estimator": "judges:Ear", "parameters": {"foreign_from": 0.85}
                    }
                },
                "synthetic": ["mixed"],
                "real": ["street"],
            }
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def sounds(once) -> Path:
    return once("blind-sounds", record)


@pytest.fixture(scope="session")
def judged(once, realear, doubles, suite_file, sounds) -> Path:
    """A workspace in which the suite was evaluated by one worker; not to be changed."""

    def make(folder: Path) -> None:
        ended = realear("evaluate", suite_file(folder, suite_of(sounds)), "--out", folder,
                        "--workers", 1)  # fmt: skip
        assert ended.code == 0, ended.text
        (folder / "said.txt").write_text(ended.text)

    return once("judged", make)


@pytest.fixture
def workspace(judged, tmp_path) -> Path:
    target = tmp_path / "workspace"
    shutil.copytree(judged, target)
    return target


def rows(workspace: Path, chain: str, dataset: str, metric: str) -> dict[str, dict]:
    found = sorted(workspace.glob(f"scores/{chain}/{dataset}/{metric}-*/*.parquet"))
    return {row["key"]: row for path in found for row in pq.read_table(path).to_pylist()}


def members(workspace: Path, chain: str, dataset: str) -> dict[str, dict[str, bytes]]:
    """Every stored answer by key and member."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(workspace.glob(f"predictions/{chain}/{dataset}/*.tar")):
        with tarfile.open(path) as tar:
            for name in tar.getnames():
                key, _, member = name.partition(".")
                found.setdefault(key, {})[member] = tar.extractfile(name).read()
    return found


def board(workspace: Path, **wanted: str) -> list[dict[str, str]]:
    text = (workspace / "site/blind/board.csv").read_text()
    found = csv.DictReader(io.StringIO(text))
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def test_a_guess_is_a_direct_call_on_the_stored_signals(judged):
    import judges

    ear = judges.Ear(foreign_from=0.85)
    for dataset, clips in (("mixed", 12), ("street", 8)):
        heard = members_of_dataset(judged, dataset)
        answers = members(judged, "nmf-????????", dataset)
        found = members(judged, "nmf-????????+judges-Ear-*", dataset)
        scores = rows(judged, "nmf-*+judges-Ear-*", dataset, "blind_si_snr")
        assert len(heard) == len(answers) == len(found) == len(scores) == clips
        for key, given in answers.items():
            mixture = read(heard[key]).astype(np.float32)
            estimates = np.stack([read(given[f"s{n}.wav"]) for n in (1, 2)]).astype(np.float32)
            [expected] = ear.judge([mixture], [estimates], sample_rate=RATE)
            assert json.loads(found[key]["json"]) == expected
            assert scores[key]["value"] == pytest.approx(np.mean(expected["si_snr"]), abs=1e-12)


def read(data: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(data))[0]


def members_of_dataset(workspace: Path, dataset: str) -> dict[str, bytes]:
    found = {}
    for path in sorted(workspace.glob(f"datasets/{dataset}/*.tar")):
        with tarfile.open(path) as tar:
            heard = [n for n in tar.getnames() if n.endswith(".flac") and n.count(".") == 1]
            found |= {n.removesuffix(".flac"): tar.extractfile(n).read() for n in heard}
    return found


def test_a_separators_failure_is_a_failure_and_says_why(judged):
    plain = rows(judged, "moody-????????", "mixed", "si_snr")
    blind = rows(judged, "moody-*+judges-Ear-*", "mixed", "blind_si_snr")
    failed = {key for key, row in blind.items() if row["end"] == "failed"}
    assert 0 < len(failed) < len(blind) == 12
    for key in failed:
        assert blind[key]["reason"] == plain[key]["reason"] == "error"
        assert json.loads(blind[key]["detail"]) == {"message": "RuntimeError: odd"}
    assert {blind[key]["end"] for key in blind.keys() - failed} == {"scored"}


def test_two_workers_write_the_same_bytes(judged, sounds, tree, tmp_path):
    suite = parse_suite(suite_of(sounds), "blind")
    found = evaluate.evaluate(suite, Workspace(str(tmp_path)), Engine(workers=2))
    assert tree(tmp_path) == tree(judged)
    record = json.loads((judged / "site/blind/board.json").read_text())
    again = json.loads(export.to_json(found.board))
    assert again["sections"][0]["calibration"] == record["sections"][0]["calibration"]


def test_a_second_run_does_nothing(workspace, realear, stamps):
    before = stamps(workspace)
    again = ("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", 1)
    ended = realear(*again)
    assert ended.code == 0, ended.text
    assert "Judge by judges-Ear: all 15 shards up to date" in ended.text
    assert stamps(workspace) == before
    # A lost judgement is made again, and nothing else.
    [lost] = workspace.glob("predictions/nmf-*+judges-Ear-*/street/street-000001.json")
    lost.unlink()
    ended = realear(*again)
    assert "Judge by judges-Ear: 1/1 shard, 14 were there" in ended.text
    assert {k: v[1] for k, v in stamps(workspace).items() if v != before[k]}.keys() == {
        str(lost.relative_to(workspace)), str(lost.with_suffix(".tar").relative_to(workspace))
    }  # fmt: skip


def test_another_answer_is_judged_again_and_another_estimator_is_another_metric(
    workspace, realear, stamps, sounds
):
    before = stamps(workspace)
    suite = suite_of(sounds)
    suite["comparisons"]["apart"]["metrics"]["blind_si_snr"]["parameters"] = {"shift": 2.0}
    suite["comparisons"]["apart"]["models"] = ["nmf"]
    (workspace / "suite.yaml").write_text(json.dumps(suite))
    ended = realear("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", 1)
    assert ended.code == 0, ended.text
    after = stamps(workspace)
    assert {name: after[name] for name in before} == before
    new = {tuple(name.split("/")[:2]) for name in after.keys() - before.keys()}
    chains = {chain for _, chain in new}
    assert {kind for kind, _ in new} == {"predictions", "scores"}
    [chain] = chains
    assert chain.startswith("nmf-")
    assert "+judges-Ear-" in chain
    old = rows(workspace, "nmf-*+judges-Ear-*", "street", "blind_si_snr")
    folders = list(workspace.glob("scores/nmf-*+judges-Ear-*/street/blind_si_snr-*"))
    assert len({folder.name for folder in folders}) == len(folders) == 2
    shifted = rows(workspace, chain, "street", "blind_si_snr")
    assert old.keys() == shifted.keys()


def test_the_board_sets_guesses_beside_the_truth(judged):
    for model in ("mixture", "nmf", "moody"):
        blind = rows(judged, f"{model}-*+judges-Ear-*", "mixed", "blind_si_snr")
        truth = rows(judged, f"{model}-????????", "mixed", "si_snr")
        both = [key for key in sorted(blind) if blind[key]["end"] == truth[key]["end"] == "scored"]
        guesses = np.array([blind[key]["value"] for key in both])
        truths = np.array([truth[key]["value"] for key in both])
        [true] = board(judged, quantity="true", model=model, domain="synthetic")
        assert float(true["value"]) == pytest.approx(truths.mean(), abs=1e-6)
        expected = {
            "mae": np.abs(guesses - truths).mean(),
            "bias": (guesses - truths).mean(),
            "covered": np.mean([one for key in both for one in held(blind[key], truth[key])]),
        }
        if np.ptp(guesses):
            expected["pearson"] = np.corrcoef(guesses, truths)[0, 1]
        for quantity, value in expected.items():
            [line] = board(judged, quantity=quantity, model=model, dataset="mixed")
            assert float(line["value"]) == pytest.approx(value, abs=1e-6), quantity
            assert line["scored"] == str(len(both))
    assert not board(judged, quantity="mae", dataset="street")  # nothing is known there


def held(blind: dict, truth: dict) -> list[bool]:
    said, known = json.loads(blind["detail"]), json.loads(truth["detail"])
    order = known["permutation"]
    return [
        said["lower"][at] <= value <= said["upper"][at]
        for value, at in zip(known["sources"], order, strict=True)
    ]


def test_the_permutation_is_that_of_pit(judged):
    truth = rows(judged, "nmf-????????", "mixed", "si_snr")
    orders = {tuple(json.loads(row["detail"])["permutation"]) for row in truth.values()}
    assert orders <= {(0, 1), (1, 0)}


def test_the_order_of_guesses_is_compared_with_the_true_one(judged):
    [line] = board(judged, quantity="true_tau")
    # moody failed on clips, but so much is tolerated here
    values = [
        [float(r["value"]) for r in board(judged, quantity=quantity, domain=domain, dataset="")]
        for quantity, domain in (("synthetic", ""), ("true", "synthetic"))
    ]
    assert [len(side) for side in values] == [3, 3]
    assert (line["domain"], line["scored"]) == ("synthetic", "3")
    assert float(line["value"]) == pytest.approx(kendall_tau_b(*values))


def test_what_is_unlike_the_estimators_training_is_said_everywhere(judged):
    said = " ".join((judged / "said.txt").read_text().split())
    outside = {
        row["model"]: float(row["value"])
        for row in board(judged, quantity="outside", dataset="street")
    }
    assert outside["mixture"] == pytest.approx(6 / 8)
    assert "mixture, street: 6 of 8 clips (75 %) are unlike what judges:Ear was trained on." in said
    assert "judged clips of street are unlike what judges:Ear was trained on" in said
    assert "mixture, mixed:" not in said  # none of them
    mixed = board(judged, quantity="outside", dataset="mixed")
    assert {row["model"]: float(row["value"]) for row in mixed}["mixture"] == 0
    record = json.loads((judged / "site/blind/board.json").read_text())
    found = record["sections"][0]["calibration"]["foreign"]
    assert {e["outside"] for e in found if e["dataset"] == "street"} >= {6}
    page = (judged / "site/blind/index.html").read_text()
    assert "6 of 8 clips (75 %) are unlike what judges:Ear was trained on." in page


def test_the_page_shows_the_card_and_the_curve(judged):
    page = (judged / "site/blind/index.html").read_text()
    assert "Calibration: how far this blind metric can be trusted" in page
    assert "The estimator’s card: per_separator" in page
    assert "&lt;b&gt;mixture&lt;/b&gt;" in page
    assert "<b>mixture</b>" not in page
    assert "True synthetic" in page
    assert "<dt>pearson</dt><dd>0.93</dd>" in page
    assert "<dt>spearman</dt><dd>–</dd>" in page  # not a number
    section = page.partition("Calibration: how far")[2].partition("</details>")[0]
    assert section.count("<svg") == 1
    assert "True SI-SNR, dB" in section


def test_a_board_from_tracking_alone_is_the_same(workspace, realear, tmp_path):
    uri = f"sqlite:///{workspace / 'realear.db'}"
    move_artifacts(workspace)
    ended = realear("board", "--from-mlflow", uri, "--out", tmp_path / "again")
    assert ended.code == 0, ended.text
    found = [
        json.loads((root / "site/blind/board.json").read_text())["sections"][0]["calibration"]
        for root in (workspace, tmp_path / "again")
    ]
    assert found[0] == found[1]
    assert found[0]["card"]["mae"] == 1.25


def move_artifacts(workspace: Path) -> None:
    """The store was copied: its files lie elsewhere now."""
    with sqlite3.connect(workspace / "realear.db") as database:
        [(place,)] = database.execute(
            "SELECT artifact_location FROM experiments WHERE name='blind'"
        )
        old = place.partition("/artifacts")[0]
        new = workspace.resolve().as_uri() if "://" in old else str(workspace.resolve())
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))


def test_nothing_that_was_judged_is_cleaned_away(workspace, realear, sounds):
    ended = realear("gc", workspace / "suite.yaml", "--out", workspace)
    assert "nothing to remove" in ended.text
    suite = suite_of(sounds)
    suite["comparisons"]["apart"]["metrics"] = {"si_snr": {}}
    (workspace / "plain.yaml").write_text(json.dumps(suite))
    ended = realear("gc", workspace / "plain.yaml", "--out", workspace)
    listed = [line.split()[-1] for line in ended.text.splitlines() if "/" in line]
    assert {place.split("/")[0] for place in listed} == {"predictions", "scores"}
    assert all("+judges-Ear-" in place for place in listed)


WRONG = [
    ({"estimator": "judge:Ear"}, "expected 'judge:Ear' to name a class as 'module:Class'"),
    ({"estimator": "torchaudio-squim-objectiv"}, "did you mean"),
    ({"estimator": "nmf"}, "expected one for the task 'quality', found one for 'separation'"),
    ({"estimator": "judges:Listener"}, "expected an estimator that hears a mixture and its"),
    ({"estimator": "judges:Ear", "parameters": {"width": 1, "shft": 2}}, "'shft'"),
    ({"estimator": "judges:Ear", "fingerprint": "0123abcd"}, "fingerprint 0123abcd, found "),
    ({"estimater": "judges:Ear"}, "did you mean 'estimator'"),
]


@pytest.mark.parametrize(("given", "told"), WRONG)
def test_every_word_is_checked_before_anything_runs(
    given, told, realear, suite_file, sounds, tmp_path
):
    suite = suite_of(sounds)
    suite["comparisons"]["apart"]["metrics"] = {"blind_si_snr": given}
    ended = realear("evaluate", suite_file(tmp_path, suite), "--validate", "--out", tmp_path / "x")
    assert ended.code == 2, ended.text
    assert told in " ".join(ended.text.split())
    assert not (tmp_path / "x").exists()


def test_words_cannot_be_judged_and_a_judge_answers_no_clip(realear, suite_file, sounds, tmp_path):
    suite = copy.deepcopy(suite_of(sounds))
    suite["comparisons"]["apart"] |= {"task": "recognition", "models": ["pocketsphinx"]}
    ended = realear("evaluate", suite_file(tmp_path, suite), "--validate")
    assert ended.code == 2
    assert "expected a task whose answers are signals" in " ".join(ended.text.split())
    assert [n for n in tasks.TASKS if tasks.get(n).judged] == ["enhancement", "separation"]
    suite["comparisons"]["apart"] = {
        "task": "quality", "models": ["judges:Ear"], "synthetic": ["mixed"]
    }  # fmt: skip
    ended = realear("evaluate", suite_file(tmp_path, suite), "--validate")
    assert ended.code == 2
    assert "name it in a metric, as in blind_si_snr:estimator=judges:Ear" in ended.text


def test_an_estimator_of_a_higher_rate_is_refused(workspace, realear, suite_file, sounds, tmp_path):
    suite = suite_of(sounds)
    suite["comparisons"]["apart"]["models"] = ["small-conv-tasnet"]
    suite["comparisons"]["apart"]["metrics"] = {"blind_si_snr": {"estimator": "judges:Studio"}}
    ended = realear("evaluate", suite_file(tmp_path, suite), "--validate")
    assert ended.code == 2
    assert "at 16000 Hz or more, as the estimator 'judges:Studio' hears them, found 8000 Hz" in (
        " ".join(ended.text.split())
    )
    ended = realear("score", "--dataset", "street", "--model", "nmf", "--metric",
                    "blind_si_snr:estimator=judges:Studio", "--out", workspace,
                    "--workers", 1)  # fmt: skip
    assert ended.code == 2
    assert "expected datasets and models at 16000 Hz or more" in " ".join(ended.text.split())


def test_one_model_and_somebodys_predictions_are_judged_from_the_command_line(
    workspace, realear, sounds, tmp_path
):
    metric = 'blind_si_snr:estimator=judges:Ear:parameters={"shift": 1.5, "width": 1}'
    common = ("--metric", metric, "--metric", "si_snr", "--out", workspace, "--workers", 1)
    ended = realear("score", "--dataset", "mixed", "--model", "nmf", *common)
    assert ended.code == 0, ended.text
    assert "Blind SI-SNR is a guess by judges:Ear: off by" in " ".join(ended.text.split())
    for name in ("s1", "s2"):
        shutil.copytree(sounds / name, tmp_path / "theirs" / name)
    ended = realear("score", "--dataset", "mixed", "--predictions", tmp_path / "theirs",
                    "--name", "perfect", *common)  # fmt: skip
    assert ended.code == 0, ended.text
    found = rows(workspace, "perfect-*+judges-Ear-*", "mixed", "blind_si_snr")
    assert {row["end"] for row in found.values()} == {"scored"}


def test_squim_stands_in_the_same_place_for_enhancement(workspace, realear):
    metric = "blind_stoi:estimator=judges:Listener"
    ended = realear("score", "--dataset", "street", "--model", "noisy", "--metric", metric,
                    "--metric", "blind_pesq:estimator=judges:Listener",
                    "--out", workspace, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    heard = members_of_dataset(workspace, "street")
    found = rows(workspace, "noisy-*+judges-Listener-*", "street", "blind_stoi")
    assert len(found) == 8
    for key, row in found.items():
        level = np.sqrt(np.mean(np.square(read(heard[key]).astype(np.float32))))
        assert row["value"] == pytest.approx(float(level), rel=1e-6)
    assert "no clip here comes with the true STOI to check it by" in " ".join(ended.text.split())
