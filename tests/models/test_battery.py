"""What every model that needs no checkpoint keeps to: `models.base`, line by line.

Networks (models with weights of their own) may differ by rounding from batch to batch; whatever
else there is gives the same bytes.
"""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from metrics import FailedPrediction
from models import MODELS, create
from models.registry import model_class
from models.spectra import OVERLAP, STFT

RATES = (8000, 16000)
METHODS = {
    "recognition": "transcribe",
    "separation": "separate",
    "enhancement": "enhance",
    "classification": "classify",
    "embedding": "embed_audio",
    "quality": "estimate",
    "explanation": "explain",
}
FREE = sorted(name for name, entry in MODELS.items() if not entry.needs)
ANY_RATE = [
    name
    for name in FREE
    if model_class(name).task != "recognition" and create(name).sample_rate is None
]

# Runs in this process and, by `python -c`, in a fresh one.
SOURCE = """
import numpy as np
import torch

from models import create

from models.base import Model
from models.explaining import Explainable, Heard
from models.masking import Spectrograms

QUICK = {  # what takes long by itself, and shows nothing more by it
    "lime": {"masks": 16}, "integrated-gradients": {"steps": 3},
    "occlusion": {"seconds": 1.0, "hertz": 4000.0},
}

def made(name):
    return create(name, **QUICK.get(name, {}))

def explained(model, sample_rate):
    "The classifier that an explainer was trained for, or any."
    if getattr(model, "checkpoint", ""):
        classifier = create("sound-cnn")
        classifier.load()
        return classifier
    return Thirds(sample_rate)

class Thirds(Explainable, Model):
    "To be explained: how loud each third of the spectrum is, at any rate."
    padding = "exact"
    batch_seconds = 40.0

    def __init__(self, rate):
        self.sample_rate = rate

    def listen(self, batch, lengths):
        layer = Spectrograms(self.sample_rate).forward(batch)[:, None].abs() ** 2
        parts = layer[:, 0, :, :-1].tensor_split(3, 2)
        loud = torch.log1p(torch.stack([part.sum((1, 2)) for part in parts], 1))
        return Heard(loud, loud, (layer,))

def clips():
    rng = np.random.default_rng(7)
    sizes = (4000, 9001, 1, 700, 6000)
    noise = [rng.standard_normal(n).astype(np.float32) for n in sizes]
    tones = [np.sin(0.05 * (1 + i) * np.arange(n), dtype=np.float32) for i, n in enumerate(sizes)]
    return [(0.05 * a + 0.3 * b * (np.arange(b.size) % 4000 > 1500)).astype(np.float32)
            for a, b in zip(noise, tones)]

def heard(model, signals):
    "Clips as the model is given them: an array hears three channels that differ."
    if not model.array:
        return signals
    return [np.stack([s, 0.5 * s**2 + 0.2 * s, s[::-1]]) for s in signals]

def answer(model, signals, sample_rate):
    signals = heard(model, signals)
    if model.task == "recognition":
        return model.transcribe(signals)
    options = {"sample_rate": sample_rate}
    if model.task == "explanation":
        said = [number % 3 for number in map(len, signals)]
        if model.role == "oracle":
            options["references"] = [np.stack([0.3 * s, 0.7 * s[::-1]]) for s in signals]
        return model.explain(signals, explained(model, sample_rate), said, **options)
    if model.role == "oracle":
        rows = 2 if model.task == "separation" else 1
        truth = [np.stack([s * 0.25, s * 0.5 + 0.001])[:rows] for s in signals]
        options["references"] = [rows.astype(np.float32) for rows in truth]
    if model.task == "separation":
        return model.separate(signals, sources=2, **options)
    if model.judges:
        parted = [np.stack([s**2 + 0.5 * s, s[::-1]]) for s in signals]
        return model.judge(signals, parted, **options)
    method = {"enhancement": "enhance", "classification": "classify",
              "embedding": "embed_audio", "quality": "estimate"}[model.task]
    return getattr(model, method)(signals, **options)
"""
_scope: dict = {}
exec(SOURCE, _scope)
clips, heard, answer, made = (_scope[name] for name in ("clips", "heard", "answer", "made"))

CHILD = (
    SOURCE
    + """
import pickle, sys
answers = {}
for name in reversed(sys.argv[2:]):
    model = made(name)
    answers[name] = answer(model, clips(), model.sample_rate or 16000)
with open(sys.argv[1], "wb") as file:
    pickle.dump(answers, file)
"""
)


@pytest.fixture(scope="module", params=FREE)
def model(request):
    found = made(request.param)
    found.load()
    found.load()  # idempotent
    return found


@pytest.fixture(scope="module")
def fresh_process(tmp_path_factory) -> dict[str, list]:
    """Every model's answers from another process, on one thread, models in reverse."""
    target = tmp_path_factory.mktemp("fresh") / "answers"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(target), *FREE],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **threads, "PYTHONHASHSEED": "1"},
    )
    assert done.returncode == 0, done.stderr
    return pickle.loads(target.read_bytes())


def rates_of(model) -> tuple[int, ...]:
    return (model.sample_rate,) if model.sample_rate else RATES


def assert_alike(model, some, others) -> None:
    """The same answers: to the byte, or for a network to within rounding."""
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        if model.judges:
            assert one.keys() == other.keys()
            for name, values in one.items():  # dB
                np.testing.assert_allclose(values, other[name], atol=1e-3)
        elif not isinstance(one, np.ndarray):
            assert one == other
        elif model.weights is None and model.task != "explanation":
            assert one.tobytes() == other.tobytes()
        else:  # of an explanation, a quarter of a step that masks are stored in
            np.testing.assert_allclose(one, other, atol=1e-3 if model.weights is None else 1e-4)


def frames_of(signal, mask) -> int:
    """Frames of a clip, by the frequencies that a mask has."""
    return STFT(2 * (mask.shape[1] - 1), OVERLAP).frames(signal.size)


def check_answers(model, signals, answers) -> None:
    assert len(answers) == len(signals)
    shapes = {
        "separation": lambda signal: (2, signal.size),
        "enhancement": lambda signal: signal.shape,
        "classification": lambda signal: (len(model.labels),),
        "embedding": lambda signal: answers[0].shape,
        "explanation": lambda signal: (frames_of(signal, answers[0]), answers[0].shape[1]),
    }
    for signal, found in zip(signals, answers, strict=True):
        if model.task == "recognition":
            assert isinstance(found, str)
        elif model.judges:
            assert all(len(values) == 2 for values in found.values())
        elif model.task == "quality":
            assert all(isinstance(value, float) for value in found.values())
        else:
            assert found.shape == shapes[model.task](signal)
            assert found.dtype == np.float32
            assert np.isfinite(found).all()
            assert model.task != "explanation" or ((found >= 0) & (found <= 1)).all()


def test_shapes_types_and_finiteness(model):
    for rate in rates_of(model):
        check_answers(model, clips(), answer(model, clips(), rate))


def test_no_state_between_clips(model):
    for rate in rates_of(model):
        forwards = answer(model, clips(), rate)
        backwards = answer(model, clips()[::-1], rate)[::-1]
        alone = [answer(model, [clip], rate)[0] for clip in clips()]
        assert_alike(model, forwards, backwards)
        assert_alike(model, forwards, alone)


def test_a_fresh_process_gives_the_same(request, fresh_process, model):
    name = request.node.callspec.params["model"]
    assert_alike(model, fresh_process[name], answer(model, clips(), model.sample_rate or 16000))


def test_input_is_left_alone_and_not_shared(model):
    signals = clips()
    for signal in signals:
        signal.setflags(write=False)
    answers = answer(model, signals, model.sample_rate or 16000)
    for signal, found in zip(signals, answers, strict=True):
        if isinstance(found, np.ndarray):
            assert not np.shares_memory(signal, found)
            found[...] = 0  # a caller may write on what it got
    assert all(np.array_equal(a, b) for a, b in zip(signals, clips(), strict=True))


@pytest.mark.parametrize("size", [0, 1, 2, 63, 512, 4001])
def test_silence_of_any_length(model, size):
    for rate in rates_of(model):
        silent = np.zeros(size, np.float32)
        if size == 0 and model.task in ("classification", "embedding", "explanation"):
            with pytest.raises(FailedPrediction, match="empty"):
                answer(model, [silent], rate)
            continue
        found = answer(model, [silent], rate)
        check_answers(model, [silent], found)
        sounds = model.task in ("separation", "enhancement") and model.weights is None
        if sounds and model.role != "oracle":
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


def test_another_shape_is_refused(model):
    if model.judges:
        with pytest.raises(ValueError, match=r"\(sources, time\) of one length, got \(2, 100\)"):
            model.judge(
                np.zeros((1, 2, 100)), np.zeros((1, 2, 100)), sample_rate=rates_of(model)[0]
            )
        return
    ask = getattr(model, METHODS[model.task])
    options = {} if model.task == "recognition" else {"sample_rate": rates_of(model)[-1]}
    if model.task == "explanation":
        classifier = _scope["explained"](model, options["sample_rate"])
        options |= {"classifier": classifier, "classes": [0]}
    if model.task == "separation":
        options["sources"] = 2
    if model.role == "oracle":
        options["references"] = [np.zeros((options.get("sources", 1), 100), np.float32)]
    wrong, expected = (
        (np.zeros(100, np.float32), r"shaped \(channels, time\), got shape \(100,\)")
        if model.array
        else (np.zeros((2, 100), np.float32), r"shaped \(time,\), got shape \(2, 100\).*mix chan")
    )
    with pytest.raises(ValueError, match=expected):
        ask([wrong], **options)


def test_methods_of_other_tasks_are_refused(model):
    methods = {**METHODS, "judgement": "judge"}
    own = "judgement" if model.judges else model.task
    for task, method in methods.items():
        if task != own:
            with pytest.raises(TypeError, match=f"with {method}.*made for {model.task}; choose"):
                getattr(model, method)([np.zeros(10, np.float32)])


@pytest.mark.parametrize("name", ANY_RATE)
def test_a_rate_in_khz_is_refused(name):
    with pytest.raises(ValueError, match="at least 1000 Hz, got 16; give it in Hz"):
        answer(made(name), [np.zeros(10, np.float32)], 16)


@pytest.mark.parametrize("name", ANY_RATE)
@pytest.mark.parametrize("rate", [1000, 11025, 44100, 48000])
def test_other_rates(name, rate):
    found = made(name)
    check_answers(found, clips(), answer(found, clips(), rate))


def test_every_model_declares_itself(model):
    assert model.task in METHODS
    assert model.role in {"model", "baseline", "oracle"}
    assert model.version
    assert type(model).__doc__
