"""Speech by espeak-ng, the same bytes every time.

espeak-ng keeps state from one utterance to the next: the same text said four times in one process
gives four different signals. It also seeds its noise generator (breath, echo and roughness of many
variants) from the clock when it starts, so that two fresh processes differ as well. Both are
undone here: a helper process initialises the library once, and every utterance is said by a child
forked from that untouched state, which first sets the seed to a constant.

The helper is a process of its own (`python -m pipelines.recipes.espeak`) because forking is not
safe in a worker that runs gRPC threads. It reads requests on its standard input, answers on its
standard output, and ends when its input closes, whatever happened to its parent.

    request   uint32 length, JSON {text, voice, words_per_minute, pitch, seconds}
    answer    uint8 0, uint32 length, int16 PCM           or
              uint8 1, uint32 length, UTF-8 message       (all little-endian)

Library and voices come from the wheel `espeakng-loader`; nothing is taken from the system.
"""

from __future__ import annotations

import ctypes
import difflib
import functools
import json
import operator
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # the helper forks: it stays free of numpy's threads
    import numpy as np

SAMPLE_RATE = 22_050  # Hz, espeak-ng's own
WORDS_PER_MINUTE = (80, 450)  # the range in which espeak-ng obeys
PITCH = (0, 99)  # espeak-ng's scale; 50 is the voice's own pitch
_SECONDS = 60.0  # an utterance may take this long to say; it speaks about 300 times real time
_MODULE = "pipelines.recipes.espeak"  # the helper: this file
_SEED = 1  # of the library's noise generator; any constant does, another one changes the bytes
_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000  # espeak_Initialize: output mode, option
_RATE, _PITCH, _UTF_8 = 1, 3, 1  # espeak_SetParameter, espeak_Synth
_HEAD = struct.Struct("<BI")  # of an answer
_LENGTH = struct.Struct("<I")  # of a request


class SpeechError(RuntimeError):
    """espeak-ng could not say an utterance: its child crashed or overran, or its helper ended."""


def _data() -> Path:
    """The folder `espeak-ng-data` in the wheel."""
    import espeakng_loader

    return Path(espeakng_loader.get_data_path())


@functools.cache
def voices() -> list[str]:
    """The names that `voice` may take: one a language or accent, lower case, such as `en-us`.

    Languages whose dictionary is not in the wheel are left out: they would be spelt, not read.
    """
    files = [file for file in (_data() / "lang").rglob("*") if file.is_file()]
    return sorted(file.name.lower() for file in files if _has_dictionary(file))


def _has_dictionary(voice: Path) -> bool:
    """Whether the dictionary that a voice file names, or its first language does, is there."""
    lines = [line.split() for line in voice.read_text("utf-8").splitlines()]
    fields = {line[0]: line[1] for line in reversed(lines) if len(line) > 1}
    name = fields.get("dictionary", fields["language"].split("-")[0])
    return (_data() / f"{name}_dict").is_file()


@functools.cache
def variants() -> list[str]:
    """The names that `variant` may take, such as `f3`; a variant changes the timbre of a voice."""
    return sorted(file.name for file in (_data() / "voices" / "!v").iterdir())


def full_name(voice: str, variant: str = "") -> str:
    """The name by which espeak-ng knows a voice with its variant, such as `en-us+f3`.

    Args:
        voice: one of `voices()`; may carry its variant itself (`en-us+f3`).
        variant: one of `variants()`, or "" for the voice as it is.

    Raises:
        ValueError: the voice or the variant does not exist, with the nearest names. espeak-ng
            itself would speak with another voice and say nothing.
    """
    base, plus, own = voice.partition("+")
    if plus and variant:
        raise ValueError(
            f"expected one variant, found {own!r} in voice {voice!r} and variant={variant!r}: "
            "leave one of them out"
        )
    chosen = own if plus else variant
    _known(base.lower(), voices(), "voice")
    if chosen or plus:
        _known(chosen, variants(), "voice variant")
    return f"{base.lower()}+{chosen}" if chosen else base.lower()


def _known(name: str, names: list[str], what: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.4) or names[:5]
        raise ValueError(
            f"expected a {what} of espeak-ng, found {name!r}; the nearest are {', '.join(near)}"
        )


def _within(value: int, bounds: tuple[int, int], what: str) -> None:
    if not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"expected {what} in {bounds[0]}..{bounds[1]}, found {value}")


class Speaker:
    """The helper process, started by `with` or by the first `say`, ended by `close` or `with`.

    Threads may share one: they take turns. After a `SpeechError` it goes on serving, with a fresh
    helper if the old one ended.

    Args:
        seconds: an utterance that takes longer to say is given up.
    """

    def __init__(self, *, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._turn = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None

    def __enter__(self) -> Speaker:
        with self._turn:
            self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def say(
        self,
        text: str,
        *,
        voice: str = "en-us",
        variant: str = "",
        words_per_minute: int = 160,
        pitch: int = 50,
    ) -> np.ndarray:
        """Say a text.

        Args:
            text: plain text (no SSML); may hold several sentences.
            voice: one of `voices()`; may carry its variant (`en-us+f3`).
            variant: one of `variants()`, or "".
            words_per_minute: 80 to 450.
            pitch: 0 to 99; 50 is the voice's own.

        Returns:
            (time,) int16 at 22,050 Hz, read-only; the same for the same arguments, always. A text
            without anything to say (only signs) gives few samples or none.

        Raises:
            ValueError: an argument out of range, found before any work.
            SpeechError: the utterance could not be said.
        """
        import numpy as np

        _within(words_per_minute, WORDS_PER_MINUTE, "words_per_minute")
        _within(pitch, PITCH, "pitch")
        request = {
            "text": _sayable(text),
            "voice": full_name(voice, variant),
            "words_per_minute": operator.index(words_per_minute),
            "pitch": operator.index(pitch),
            "seconds": self._seconds,
        }
        with self._turn:
            return np.frombuffer(self._ask(request), "<i2")

    def close(self) -> None:
        """End the helper. A closed speaker starts again when asked to speak."""
        with self._turn:
            self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._helper is None or self._helper.poll() is not None:
            self._stop()
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _stop
            self._helper = subprocess.Popen(
                [sys.executable, "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=_environment(),
            )
        return self._helper

    def _stop(self) -> None:
        helper, self._helper = self._helper, None
        complaints, self._complaints = self._complaints, None
        if helper is not None:
            _end(helper)
        if complaints is not None:
            complaints.close()

    def _ask(self, request: dict[str, Any]) -> bytes:
        helper = self._start()
        assert helper.stdin is not None
        assert helper.stdout is not None
        body = json.dumps(request).encode("ascii")
        try:
            helper.stdin.write(_LENGTH.pack(len(body)) + body)
            helper.stdin.flush()
            failed, size = _HEAD.unpack(_read(helper.stdout, _HEAD.size))
            answer = _read(helper.stdout, size)
        except (OSError, EOFError) as error:
            raise SpeechError(self._obituary()) from error
        except BaseException:  # interrupted between question and answer: the next would be mixed up
            self._stop()
            raise
        if failed:
            raise SpeechError(f"{answer.decode('utf-8')}; text {request['text'][:60]!r}")
        return answer

    def _obituary(self) -> str:
        """Why the helper ended, from its own last words; it is cleared away."""
        helper, complaints = self._helper, self._complaints
        assert helper is not None
        assert complaints is not None
        self._helper = None
        _end(helper)
        complaints.seek(0)
        words = complaints.read().decode("utf-8", "replace").strip()[-2000:]
        self._stop()
        return (
            f"the espeak-ng helper ended with status {helper.returncode}; "
            f"its last words: {words or 'none'}. The next utterance starts another one"
        )


def _sayable(text: str) -> str:
    """The text itself; a NUL would end it early and nothing would tell."""
    if "\0" in text:
        raise ValueError(
            f"expected a text without NUL characters, found {text[:60]!r}: remove them"
        )
    return text


def _environment() -> dict[str, str]:
    """The parent's environment, in which the helper finds this very package and not a namesake."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}


def _end(helper: subprocess.Popen[bytes]) -> None:
    """Close the helper's input, which ends it; kill it where that does not help."""
    assert helper.stdin is not None
    assert helper.stdout is not None
    for pipe in (helper.stdin, helper.stdout):
        try:
            pipe.close()
        except OSError:  # the helper was gone before the last flush
            continue
    try:
        helper.wait(timeout=5)
    except subprocess.TimeoutExpired:
        helper.kill()
        helper.wait()


def _read(stream: IO[bytes], size: int) -> bytes:
    """Exactly `size` bytes. Raises EOFError if the stream ends before."""
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"expected {size} bytes, found {len(data)}")
    return data


# The helper's side.


class _Library:
    """espeak-ng, initialised once and then only ever used in forked children."""

    def __init__(self) -> None:
        import espeakng_loader

        self._chunks: list[bytes] = []
        self._espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = os.fsencode(str(_data()))
        rate = self._espeak.espeak_Initialize(_SYNCHRONOUS, 0, folder, _DO_NOT_EXIT)
        if rate != SAMPLE_RATE:
            raise SpeechError(
                f"expected espeak-ng to start at {SAMPLE_RATE} Hz, found {rate} with the voices in "
                f"{_data()}: install espeakng-loader again"
            )
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._collect)  # kept: the library holds only its address
        self._espeak.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on

    def say(self, request: dict[str, Any]) -> bytes:
        """int16 PCM of one request. Call it in a fresh child only, once."""
        self._espeak.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
        self._check(self._espeak.espeak_SetVoiceByName(request["voice"].encode()), "voice", request)
        for parameter, value in ((_RATE, "words_per_minute"), (_PITCH, "pitch")):
            self._check(
                self._espeak.espeak_SetParameter(parameter, request[value], 0), value, request
            )
        text = request["text"].encode("utf-8", "replace") + b"\0"
        size = ctypes.c_size_t(len(text))
        self._check(
            self._espeak.espeak_Synth(text, size, 0, 1, 0, _UTF_8, None, None), "text", request
        )
        return b"".join(self._chunks)

    @staticmethod
    def _check(status: int, what: str, request: dict[str, Any]) -> None:
        if status != 0:
            raise SpeechError(f"espeak-ng refused {what} {request[what]!r} with status {status}")


def _in_child(library: _Library, request: dict[str, Any]) -> tuple[bool, bytes]:
    """Say a request in a forked child: (failed, PCM or message)."""
    outlet, inlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(outlet)
        _speak_and_exit(library, request, inlet)
    os.close(inlet)
    with os.fdopen(outlet, "rb") as stream:
        answer = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        return True, _cause(-status, request).encode()
    return status != 0, answer


def _speak_and_exit(library: _Library, request: dict[str, Any], inlet: int) -> NoReturn:
    """The child's whole life. The timer's signal ends it even inside the library."""
    status = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])
        with os.fdopen(inlet, "wb") as stream:
            try:
                stream.write(library.say(request))
                status = 0
            except Exception as error:
                stream.write(str(error).encode("utf-8", "replace"))
    finally:
        os._exit(status)  # never back into the helper's loop


def _cause(number: int, request: dict[str, Any]) -> str:
    if number == signal.SIGALRM:
        return f"espeak-ng needed more than {request['seconds']} s: give it a shorter text"
    return f"espeak-ng crashed with {signal.Signals(number).name} as voice {request['voice']!r}"


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until their stream ends."""
    library = _Library()
    while head := requests.read(_LENGTH.size):
        request = json.loads(_read(requests, *_LENGTH.unpack(head)))
        failed, answer = _in_child(library, request)
        answers.write(_HEAD.pack(failed, len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    serve(sys.stdin.buffer, sys.stdout.buffer)
