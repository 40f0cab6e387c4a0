"""The contract of every model: arrays in, arrays or strings out, nothing remembered between clips.

A model is a dataclass whose fields are its parameters. It names its `task` and owes one method:

| task | method | answers, clip by clip |
| --- | --- | --- |
| recognition | `transcribe(signals)` | transcript; "" when nothing was recognised |
| separation | `separate(mixtures, *, sample_rate, sources)` | (sources, time) float32 |
| enhancement | `enhance(signals, *, sample_rate)` | (time,) float32 |
| classification | `classify(signals, *, sample_rate)` | (classes,) float32 logits, as `labels` |
| embedding | `embed_audio(signals, *, sample_rate)` | (dim,) float32 |
| embedding, of texts, too | `embed_text(texts)` | (dim,) float32, in the same space |
| quality | `estimate(signals, *, sample_rate)` | {"stoi": 0.93, …}: values by metric's name |
| quality, of separation (`judges`) | `judge(mixtures, estimates, *, sample_rate)` | lists by name |
| explanation | `explain(signals, classifier, classes, *, sample_rate)` | `explaining.Mask` |

What every model keeps to:
- It takes a batch: a sequence of mono clips, (time,) float32, finite, full scale at ±1, of any
  lengths; for an `array`, (channels, time). It never writes to them, and no answer shares memory
  with them.
- Signals come back as long as they went in, whatever that is: one sample, silence, none. Of a clip
  without a sample there are no logits, embedding or guesses: FailedPrediction("empty").
- A clip's answer depends on the clip and the parameters alone: not on its neighbours in the batch,
  the order, an earlier call, the process or the number of threads. One instance, one thread.
- A wrong parameter fails at construction. Heavy imports and state wait for `load()`, which the
  method calls itself; making a model costs microseconds.
- A judge hears mixtures, (time,) each, and a separator's estimates of them, (sources, time) each,
  of one length and any number of sources. Per clip it answers a value a source, by name: "si_snr",
  in dB, and where it knows them "lower" and "upper", ends of a 90 % interval in dB, and "outside",
  0 to 1, from ½ on unlike everything that it was trained on. NaN stands where nothing can be said:
  a silent estimate or mixture, or too short a one.
- An oracle (`role = "oracle"`) takes `references=`, too: a (sources, time) float32 array a clip.
  Only an oracle is ever handed them.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

Signal: TypeAlias = NDArray[np.float32]
"""Sound, (time,) or (sources, time), float32, full scale at ±1."""
Vector: TypeAlias = NDArray[np.float32]
"""One clip's logits, (classes,), or its embedding, (dim,), float32."""


class Model:
    """Base of every model; a subclass is a dataclass, its fields (JSON values) its parameters."""

    task: ClassVar[str]
    """What it is for: a name in the table above."""
    version: ClassVar[str]
    """Raised whenever the same input and parameters give another output."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions (names as on PyPI) whose version may change the output."""
    role: ClassVar[str] = "model"
    """"model", "baseline" (does nothing, the floor to beat) or "oracle" (sees the truth)."""
    device: str = "cpu"
    """Kind of device that computes; part of the fingerprint."""
    precision: str = "float32"
    """Number format it computes in; part of the fingerprint."""
    sample_rate: int | None = None
    """Hz that the model hears and answers at; None: any, told with each call."""
    array: ClassVar[bool] = False
    """Whether it hears every channel of a clip, (channels, time), instead of their mean."""
    labels: tuple[str, ...] = ()
    """A classifier's classes, in the order of its logits; known once it is loaded."""
    judges: ClassVar[bool] = False
    """Whether it is a quality model that hears a mixture and a separator's estimates of it."""
    calibration: Mapping[str, Any] | None = None
    """A judge's own errors as measured, as JSON values; None where nobody measured them. Known
    before the weights are loaded."""
    loaded_in: float = 0.0
    """Seconds that loading and warming up took, as whoever did it found."""
    padding: str = "none"
    """"exact" where clips of unlike lengths computed together are each answered as if alone (text
    equal, signals within 1e-4), "none" where only clips of one length are."""
    padded_to: float = 0.0
    """Seconds that the model itself fills every shorter clip up to: each costs as much as that."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters as JSON values; a whole number in a float field is a float (1 is 1.0)."""
        fields: tuple[dataclasses.Field[Any], ...] = (
            dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        )
        return {f.name: _plain(getattr(self, f.name), f.default) for f in fields if f.init}

    @property
    def batch_seconds(self) -> float:
        """Seconds of audio, padding included, that one call had best hold; 0: one clip a call."""
        return 0.0

    @property
    def weights(self) -> str | None:
        """sha256 of the weights; None where the versions of the libraries say it all."""
        return None

    @property
    def size(self) -> int | None:
        """How many numbers it learnt; None where it learnt none, or is not loaded."""
        return None

    def load(self) -> None:
        """Bring in libraries and heavy state; calling it again changes nothing."""

    def warm_up(self) -> None:
        """Do what only a first answer costs, so that no clip is charged for it."""

    def transcribe(self, *_args: Any, **_kwargs: Any) -> list[str]:
        """Text of each signal; see the module. Raises TypeError unless it is a recogniser."""
        self._refuse("transcribe")

    def separate(self, *_args: Any, **_kwargs: Any) -> list[Signal]:
        """Sources of each mixture; see the module. Raises TypeError unless it is a separator."""
        self._refuse("separate")

    def enhance(self, *_args: Any, **_kwargs: Any) -> list[Signal]:
        """Each signal, less noisy; see the module. Raises TypeError unless it is an enhancer."""
        self._refuse("enhance")

    def classify(self, *_args: Any, **_kwargs: Any) -> list[Vector]:
        """Logits of each signal; see the module. Raises TypeError unless it is a classifier."""
        self._refuse("classify")

    def embed_audio(self, *_args: Any, **_kwargs: Any) -> list[Vector]:
        """Embedding of each signal; see the module. Raises TypeError unless it embeds sounds."""
        self._refuse("embed_audio")

    def embed_text(self, *_args: Any, **_kwargs: Any) -> list[Vector]:
        """Embedding of each text; see the module. Raises TypeError unless it embeds texts."""
        self._refuse("embed_text")

    def estimate(self, *_args: Any, **_kwargs: Any) -> list[dict[str, float]]:
        """Guessed quality of each signal; see the module. Raises TypeError unless it guesses."""
        self._refuse("estimate")

    def judge(self, *_args: Any, **_kwargs: Any) -> list[dict[str, list[float]]]:
        """Guessed SI-SNR of each estimate; see the module. Raises TypeError unless it judges."""
        self._refuse("judge")

    def explain(self, *_args: Any, **_kwargs: Any) -> list[Vector]:
        """A mask of each signal; see the module. Raises TypeError unless it is an explainer."""
        self._refuse("explain")

    def _refuse(self, method: str) -> NoReturn:
        raise TypeError(
            f"expected a model with {method}(), got {type(self).__name__}, made for {self.task}; "
            f"choose a model of the task that needs {method}()"
        )


def check_number(model: Model, name: str, low: float, high: float) -> None:
    """Raise ValueError unless `model.<name>` is a finite number, `low` to `high` inclusive.

    A field whose default is whole wants a whole number.
    """
    value, default = getattr(model, name), _default(model, name)
    kinds = int if isinstance(default, int) else (int, float)
    number = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        kind = "a whole number" if kinds is int else "a number"
        _fail(model, name, f"{kind} from {low:g} to {high:g}", value, default)


def check_choice(model: Model, name: str, choices: Sequence[object]) -> None:
    """Raise ValueError unless `model.<name>` is one of `choices`, type and all (1 is not True)."""
    value = getattr(model, name)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        expected = " or ".join(repr(choice) for choice in choices)
        _fail(model, name, expected, value, _default(model, name))


def check_signal(signal: NDArray[Any]) -> NDArray[np.float64]:
    """A float64 copy of one clip, (time,); ValueError for any other shape."""
    if np.ndim(signal) != 1:
        raise ValueError(
            f"expected one mono clip shaped (time,), got shape {np.shape(signal)}; "
            "pass a list of clips and mix channels down first"
        )
    return np.array(signal, dtype=np.float64)


def check_rate(sample_rate: int) -> int:
    """The rate in Hz; ValueError unless it is at least 1,000 Hz."""
    if not sample_rate >= 1000:
        raise ValueError(
            f"expected a sample rate of at least 1000 Hz, got {sample_rate!r}; "
            "give it in Hz, not kHz"
        )
    return int(sample_rate)


def check_sources(sources: int) -> int:
    """The number of sources; ValueError unless it is 1 or more."""
    if not sources >= 1:
        raise ValueError(
            f"expected 1 source or more, got {sources!r}; say how many talkers to part"
        )
    return int(sources)


def _default(model: Model, name: str) -> object:
    return type(model).__dataclass_fields__[name].default  # type: ignore[attr-defined]


def _fail(model: Model, name: str, expected: str, value: object, default: object) -> NoReturn:
    raise ValueError(
        f"{type(model).__name__}: expected {name} to be {expected}, got {value!r}; "
        f"leave it out for the default, {default!r}"
    )


def _plain(value: Any, default: object) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return list(value) if isinstance(value, tuple) else value
