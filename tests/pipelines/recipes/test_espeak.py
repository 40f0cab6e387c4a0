"""espeak-ng: repeatable, honest about voices, and robust."""

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.recipes import espeak
from pipelines.recipes.espeak import SAMPLE_RATE, Speaker, SpeechError, full_name, voices

TEXT = "We had bread and cheese for lunch today."


def digest(samples):
    return hashlib.sha256(samples.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def speaker():
    with Speaker() as speaker:
        yield speaker


@pytest.mark.parametrize("variant", ["", "f3", "m3", "whisper", "klatt3"])
def test_what_was_said_before_does_not_matter(speaker, variant):
    first = speaker.say(TEXT, variant=variant)
    between = speaker.say("Something else altogether, louder!", voice="en-gb-x-rp", variant="f5")
    again = speaker.say(TEXT, variant=variant)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:1000], between[:1000])


def test_another_helper_says_the_same_in_any_order(speaker):
    # f3 and Alicia breathe: espeak-ng seeds that noise from the clock at start-up.
    cases = [("en-us", "f3"), ("en-029", "Alicia"), ("en-us", "whisper")]
    first = {case: digest(speaker.say(TEXT, voice=case[0], variant=case[1])) for case in cases}
    with Speaker() as other:
        second = {
            case: digest(other.say(TEXT, voice=case[0], variant=case[1])) for case in cases[::-1]
        }
    assert first == second


def test_speech_is_int16_of_a_plausible_length_and_obeys_its_arguments(speaker):
    plain = speaker.say(TEXT)
    assert plain.dtype == np.int16
    assert plain.ndim == 1
    assert 1.0 < plain.size / SAMPLE_RATE < 4.0
    assert np.abs(plain.astype(int)).max() > 5_000
    assert speaker.say(TEXT, words_per_minute=250).size < 0.8 * plain.size
    different = [plain, speaker.say(TEXT, pitch=70), speaker.say(TEXT, voice="en-gb-scotland")]
    assert len({digest(samples) for samples in different}) == 3
    np.testing.assert_array_equal(
        speaker.say(TEXT, voice="EN-US+f2"), speaker.say(TEXT, voice="en-us", variant="f2")
    )


def test_nothing_to_say_is_silence(speaker):
    assert not speaker.say("").any()
    assert not speaker.say(" ?! ").any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voice": "en-uss"}, "voice of espeak-ng, found 'en-uss'; the nearest are en-us"),
        ({"voice": "en-us", "variant": "f9"}, "variant of espeak-ng, found 'f9'; .*f1"),
        ({"voice": "en-us+"}, "variant of espeak-ng, found ''"),
        ({"voice": "en-us+f1", "variant": "f2"}, "expected one variant"),
        ({"pitch": 100}, r"pitch in 0\.\.99, found 100"),
        ({"words_per_minute": 20}, r"words_per_minute in 80\.\.450, found 20"),
    ],
)
def test_mistakes_are_found_before_any_work(arguments, message):
    speaker = Speaker()
    with pytest.raises(ValueError, match=message):
        speaker.say(TEXT, **arguments)
    assert speaker._helper is None


def test_a_nul_is_refused(speaker):
    with pytest.raises(ValueError, match="without NUL"):
        speaker.say("one\0two")


def test_the_voices_are_those_that_can_speak():
    assert {"en-us", "en-029", "en-gb-x-rp", "fr"} <= set(voices())
    assert "fo" not in voices()  # its dictionary is not in the wheel
    assert full_name("EN-US", "f3") == "en-us+f3"


def test_an_overrun_child_is_reported_and_the_helper_goes_on():
    with Speaker(seconds=2.0) as speaker:  # of a machine that others load, too
        expected = speaker.say(TEXT)
        helper = speaker._helper
        with pytest.raises(SpeechError, match=r"more than 2\.0 s.*'word and word"):
            speaker.say("word and " * 100_000)
        np.testing.assert_array_equal(speaker.say(TEXT), expected)
        assert speaker._helper is helper


class _Crashing:
    def say(self, request):
        os.kill(os.getpid(), signal.SIGKILL)


class _Refusing:
    def say(self, request):
        raise SpeechError("espeak-ng refused voice 'x' with status 2")


def test_a_crash_and_a_refusal_become_messages():
    request = {"voice": "en-us", "seconds": 5.0}
    failed, message = espeak._in_child(_Crashing(), request)
    assert failed
    assert b"crashed with SIGKILL as voice 'en-us'" in message
    failed, message = espeak._in_child(_Refusing(), request)
    assert failed
    assert b"refused voice 'x'" in message


def test_a_lost_helper_is_reported_and_replaced():
    with Speaker() as speaker:
        expected = speaker.say(TEXT)
        speaker._helper.kill()
        speaker._helper.wait()
        np.testing.assert_array_equal(speaker.say(TEXT), expected)  # seen gone: replaced at once
        os.kill(speaker._helper.pid, signal.SIGSTOP)
        killer = threading.Timer(0.2, speaker._helper.kill)
        killer.start()
        with pytest.raises(SpeechError, match="ended with status -9"):
            speaker.say(TEXT)
        killer.join()
        np.testing.assert_array_equal(speaker.say(TEXT), expected)


def test_the_helpers_last_words_reach_the_user(monkeypatch):
    speaker = Speaker()
    monkeypatch.setattr(espeak, "_MODULE", "pipelines.recipes.no_such_module")
    with pytest.raises(SpeechError, match="No module named"):
        speaker.say(TEXT)
    speaker.close()


def test_closing_ends_the_helper_and_speaking_again_starts_one():
    speaker = Speaker()
    first = speaker.say(TEXT)
    helper = speaker._helper
    speaker.close()
    assert helper.poll() == 0
    np.testing.assert_array_equal(speaker.say(TEXT), first)
    speaker.close()


def test_threads_may_share_a_speaker(speaker):
    texts = ["one two three", "a longer text for the second thread", "the third"] * 3
    expected = [digest(speaker.say(text)) for text in texts]
    found = [""] * len(texts)

    def work(place):
        found[place] = digest(speaker.say(texts[place]))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


ORPHAN = """
import os, signal
from pipelines.recipes.espeak import Speaker
speaker = Speaker()
speaker.say("one")
print(speaker._helper.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_helper_ends_with_a_killed_parent_wherever_it_was_started(tmp_path):
    (tmp_path / "pipelines").mkdir()  # a namesake where the user stands must not win
    (tmp_path / "pipelines" / "__init__.py").write_text("raise ImportError('the wrong one')")
    environment = {**espeak._environment(), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    helper = int(done.stdout)
    deadline = time.monotonic() + 5
    while _alive(helper) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(helper)


def _alive(process):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_torn_request_ends_the_helper_with_an_error():
    with pytest.raises(EOFError, match="expected 9 bytes, found 2"):
        espeak.serve(io.BytesIO(espeak._LENGTH.pack(9) + b"{}"), io.BytesIO())
