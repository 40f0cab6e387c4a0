"""What is told of a model that was asked: by Beam's metrics, on the terminal, in the timings."""

import os
import re
import subprocess
import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest

from pipelines import accelerators, predict, timings, transforms
from pipelines.engines import ONE_THREAD, Engine
from pipelines.records import Step
from pipelines.shards import sidecars

HOLD = """
import sys
from pipelines import accelerators
print(accelerators.claim(2, sys.argv[1]), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_what_became_of_every_clip_is_counted_by_beam_and_said(corpora, doubles, capsys, workers):
    for number in range(12):
        corpora.wav(f"{number:02}.wav", seed=number)
    made = corpora.prepare(config={"shards": 3})
    asked = predict.handling("moody", "doubles:Moody", "enhancement", {})
    parts = predict.plan(corpora.workspace, made.card, asked)
    transforms.run("Predict", parts, asked, Engine(workers=workers))
    failures = [each for p in parts for each in sidecars.read(p.folder, p.stem).failures]
    failed = Counter(each.reason for each in failures)
    assert failed, "the double fails on one clip in two"
    told = re.search(
        r"12 clips · failed: (.*?) · .* × real time · loaded in ", capsys.readouterr().err
    )
    assert told, "the line is there"
    assert told[1] == ", ".join(f"{failed[reason]} {reason}" for reason in sorted(failed))


@pytest.mark.parametrize("workers", [1, 2])
def test_models_are_asked_together_and_one_is_in_memory_at_a_time(
    corpora, doubles, capsys, tmp_path, monkeypatch, workers
):
    monkeypatch.setenv("DOUBLES_TRACE", str(tmp_path / "trace"))
    for number in range(12):
        corpora.wav(f"{number:02}.wav", seed=number)
    made = corpora.prepare(config={"shards": 6})
    steps = []
    for gain in (0.5, 0.25, 1.0):
        asked = predict.handling(f"gain-{gain}", "doubles:Traced", "enhancement", {"gain": gain})
        steps.append(Step("Predict", predict.plan(corpora.workspace, made.card, asked), asked))
    assert transforms.run_all("Predict", steps, Engine(workers=workers)) == 18
    assert all(sidecars.is_current(part) for step in steps for part in step.parts)
    said = capsys.readouterr().err
    for step in steps:
        assert f"{step.work.model}: 12 clips · failed: none" in said
    lines = [line.split() for line in (tmp_path / "trace").read_text().splitlines()]
    assert 1 <= len({process for process, *_ in lines}) <= workers
    for process in {process for process, *_ in lines}:
        of = [(float(gain), int(alive)) for who, gain, alive in lines if who == process]
        assert all(alive == 1 for _, alive in of), "the one before has gone"
        assert [gain for gain, _ in of] == sorted(
            [gain for gain, _ in of], key=[0.5, 0.25, 1.0].index
        ), "step by step"


def test_a_model_s_times_and_hardware_are_kept_apart(corpora, doubles):
    corpora.wav("one.wav")
    made = corpora.prepare()
    asked = predict.handling("slow", "doubles:Slow", "enhancement", {})
    assert timings.of(corpora.workspace, asked.chain, "set") == timings.Timing()
    transforms.run("Predict", predict.plan(corpora.workspace, made.card, asked), asked, Engine())
    timings.collect(corpora.workspace)
    (row,) = pq.read_table(corpora.workspace.timings).to_pylist()
    found = timings.of(corpora.workspace, asked.chain, "set")
    assert found.rtfx == pytest.approx(row["audio_seconds"] / row["wall_seconds"])
    assert found.load_seconds == row["load_seconds"] > 0
    assert found.parameters is None, "it learnt nothing"
    assert found.hardware == timings.hardware("cpu") != ""


def test_processes_get_a_gpu_each_while_they_last_and_share_them_evenly_then(tmp_path):
    started = []

    def hold() -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return int(process.stdout.readline())

    try:
        assert [hold() for _ in range(3)] == [0, 1, 0]
        started[1].kill()  # the kernel lets go of what it held
        started[1].wait()
        assert hold() == 1
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f"realear-{os.getuid()}-gpu0-0.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"symbolic|loop|Too many"):
        accelerators.claim(1, str(tmp_path))


def ended(**counts):
    """A job as Spark's job server tells of it: what was attempted only."""
    from apache_beam.metrics.cells import DistributionData, DistributionResult
    from apache_beam.metrics.execution import MetricKey, MetricResult
    from apache_beam.metrics.metricbase import MetricName

    def attempted(name: str, value: object) -> MetricResult:
        return MetricResult(MetricKey("step", MetricName("realear/m", name)), None, value)

    class Ended:
        def metrics(self):
            return self

        def query(self):
            load = DistributionResult(DistributionData(900, 1, 900, 900))
            return {
                "counters": [attempted(name, count) for name, count in counts.items()],
                "distributions": [attempted("load_milliseconds", load)],
            }

    return Ended()


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"clips": 7, "failed/silent": 2}, "7 clips · failed: 2 silent · loaded in 0.9 s"),
        (
            {"clips": 7, "audio_milliseconds": 9_000, "wall_milliseconds": 2_000},
            "7 clips · failed: none · 4.5 × real time · loaded in 0.9 s",
        ),
        (  # nothing was answered, so that there is no speed
            {"clips": 2, "failed/silent": 2, "audio_milliseconds": 0, "wall_milliseconds": 40},
            "2 clips · failed: 2 silent · loaded in 0.9 s",
        ),
        ({}, ""),
    ],
)
def test_what_a_model_came_to_is_told(counts, said):
    from pipelines import inference

    assert inference.told(ended(**counts), "m") == said


LATE = """
from pipelines.inference import AskModel
class Handling:
    device, model = "cpu", "late"
    def load(self):
        return lambda: __import__("torch").get_num_threads()
ask = AskModel(Handling()).load_model().get()
print(ask())
"""


def test_a_model_that_imports_torch_late_computes_on_one_thread():
    given = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    command = [sys.executable, "-c", LATE]
    ended = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["1"]
