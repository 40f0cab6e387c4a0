"""What every model of the registry keeps to: `models.base`, line by line."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from models import MODELS, create
from models.registry import model_class

RATES = (8000, 16000)
RECOGNISERS = {name for name in MODELS if model_class(name).task == "recognition"}
SIGNAL_MODELS = sorted(MODELS.keys() - RECOGNISERS)

# Runs in this process and, by `python -c`, in a fresh one.
SOURCE = """
import numpy as np

def clips():
    rng = np.random.default_rng(7)
    sizes = (4000, 9001, 1, 700, 6000)
    noise = [rng.standard_normal(n).astype(np.float32) for n in sizes]
    tones = [np.sin(0.05 * (1 + i) * np.arange(n), dtype=np.float32) for i, n in enumerate(sizes)]
    return [(0.05 * a + 0.3 * b * (np.arange(b.size) % 4000 > 1500)).astype(np.float32)
            for a, b in zip(noise, tones)]

def answer(model, signals, sample_rate):
    if model.task == "recognition":
        return model.transcribe(signals)
    if model.task == "enhancement":
        return model.enhance(signals, sample_rate=sample_rate)
    truth = {}
    if model.role == "oracle":
        pairs = [np.stack([s * 0.25, s * 0.5 + 0.001]) for s in signals]
        truth["references"] = [pair.astype(np.float32) for pair in pairs]
    return model.separate(signals, sample_rate=sample_rate, sources=2, **truth)
"""
_scope: dict = {}
exec(SOURCE, _scope)
clips, answer = _scope["clips"], _scope["answer"]

CHILD = (
    SOURCE
    + """
import hashlib, json, sys
from models import MODELS, create
digests = {}
for name in reversed(MODELS):
    answers = answer(create(name), clips(), 16000)
    digests[name] = hashlib.sha256(b"|".join(
        a.encode() if isinstance(a, str) else a.tobytes() for a in answers)).hexdigest()
print(json.dumps(digests))
"""
)


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request):
    made = create(request.param)
    made.load()
    made.load()  # idempotent
    return made


@pytest.fixture(scope="module")
def fresh_process() -> dict[str, str]:
    """Digest of every model's answers from another process, on one thread, models in reverse."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **threads, "PYTHONHASHSEED": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def rates_of(model) -> tuple[int, ...]:
    return (model.sample_rate,) if model.sample_rate else RATES


def expected_shape(model, signal) -> tuple[int, ...]:
    return (2, signal.size) if model.task == "separation" else signal.shape


def as_bytes(answers) -> list[bytes]:
    return [a.encode() if isinstance(a, str) else a.tobytes() for a in answers]


def check_answers(model, signals, answers) -> None:
    assert len(answers) == len(signals)
    for signal, found in zip(signals, answers, strict=True):
        if model.task == "recognition":
            assert isinstance(found, str)
            continue
        assert found.shape == expected_shape(model, signal)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_shapes_types_and_finiteness(model):
    for rate in rates_of(model):
        check_answers(model, clips(), answer(model, clips(), rate))


def test_no_state_between_clips(model):
    for rate in rates_of(model):
        forwards = answer(model, clips(), rate)
        backwards = answer(model, clips()[::-1], rate)[::-1]
        alone = [answer(model, [clip], rate)[0] for clip in clips()]
        assert as_bytes(forwards) == as_bytes(backwards) == as_bytes(alone)


def test_a_fresh_process_gives_the_same_bytes(request, fresh_process, model):
    name = request.node.callspec.params["model"]
    ours = hashlib.sha256(b"|".join(as_bytes(answer(model, clips(), 16000)))).hexdigest()
    assert fresh_process[name] == ours


def test_input_is_left_alone_and_not_shared(model):
    signals = clips()
    for signal in signals:
        signal.setflags(write=False)
    for signal, found in zip(signals, answer(model, signals, 16000), strict=True):
        if not isinstance(found, str):
            assert not np.shares_memory(signal, found)
            found[...] = 0  # a caller may write on what it got
    assert all(np.array_equal(a, b) for a, b in zip(signals, clips(), strict=True))


@pytest.mark.parametrize("size", [0, 1, 2, 63, 512, 4001])
def test_silence_of_any_length(model, size):
    for rate in rates_of(model):
        silent = np.zeros(size, np.float32)
        found = answer(model, [silent], rate)
        check_answers(model, [silent], found)
        if model.task != "recognition" and model.role != "oracle":
            assert not found[0].any()


@pytest.mark.parametrize("size", [1, 2, 3, 127, 128, 129, 1023, 1024, 1025])
def test_short_clips(model, size):
    for rate in rates_of(model):
        constant = np.full(size, 0.25, np.float32)
        impulse = np.eye(1, size, size // 2, dtype=np.float32)[0]
        ramp = np.linspace(-1, 1, size, dtype=np.float32)
        signals = [constant, impulse, ramp]
        check_answers(model, signals, answer(model, signals, rate))


def test_clips_that_a_division_could_trip_over(model):
    size = 6000
    tone = np.sin(2 * np.pi * 0.125 * np.arange(size)).astype(np.float32)
    late = np.where(np.arange(size) < 4000, 0, tone).astype(np.float32)
    signals = [tone, late, late[::-1].copy(), 1e-30 * tone, np.sign(tone), 0 * tone + 1]
    for rate in rates_of(model):
        check_answers(model, signals, answer(model, signals, rate))


def test_no_clips_no_answers(model):
    for rate in rates_of(model):
        assert answer(model, [], rate) == []


def test_two_channels_are_refused(model):
    stereo = np.zeros((2, 100), np.float32)
    with pytest.raises(ValueError, match=r"shaped \(time,\), got shape \(2, 100\).*mix channels"):
        answer(model, [stereo], 16000)


def test_methods_of_other_tasks_are_refused(model):
    owed = {"recognition": "transcribe", "separation": "separate", "enhancement": "enhance"}
    for task, method in owed.items():
        if task != model.task:
            with pytest.raises(TypeError, match=f"with {method}.*made for {model.task}; choose"):
                getattr(model, method)([np.zeros(10, np.float32)])


@pytest.mark.parametrize("name", SIGNAL_MODELS)
def test_a_rate_in_khz_is_refused(name):
    with pytest.raises(ValueError, match="at least 1000 Hz, got 16; give it in Hz"):
        answer(create(name), [np.zeros(10, np.float32)], 16)


@pytest.mark.parametrize("name", SIGNAL_MODELS)
@pytest.mark.parametrize("rate", [1000, 11025, 44100, 48000])
def test_other_rates(name, rate):
    made = create(name)
    check_answers(made, clips(), answer(made, clips(), rate))


def test_every_model_declares_itself(model):
    assert model.task in {"recognition", "separation", "enhancement"}
    assert model.role in {"model", "baseline", "oracle"}
    assert model.version
    assert type(model).__doc__
