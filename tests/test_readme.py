"""The README is executed: its suite, its model and every command, in its order."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from pipelines.recipes import readings
from pipelines.recipes.espeak import Speaker

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SAID = {"ann": ("good morning", "the weather is fine"), "bob": ("open the door",)}
VOICES = {"ann": "en-us+f2", "bob": "en-us+m1"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line[2:].split("  #")[0].strip() for line in lines if line.startswith("$ ")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: recordings, transcripts, answers, and the README's own files."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "recordings").mkdir()
    transcripts, answers = [], ["key,text"]
    with Speaker() as speaker:
        for name, texts in SAID.items():
            recipe = readings.Readings(texts=texts, voices=(VOICES[name],))
            for take, row in enumerate(readings.plan(recipe)):
                clip = readings.render(row, speaker)
                spoken = clip.sounds["audio"]
                wavfile.write(folder / f"recordings/{name}_{take}.wav", clip.sample_rate, spoken)
                transcripts.append(f"{name}_{take}\t{row.text}")
                answers.append(f"{name}_{take},{row.text}")
    (folder / "recordings/transcripts.tsv").write_text("\n".join(transcripts))
    corpora(folder, clip.sample_rate, spoken)
    (folder / "hyp.csv").write_text("\n".join(answers))
    for block in blocks("yaml") + blocks("python"):
        name = block.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(block)
    return folder


def corpora(folder: Path, sample_rate: int, spoken: np.ndarray) -> None:
    """The corpora that the README prepares, as small as can be: LibriSpeech, and a meeting."""
    chapter = folder / "LibriSpeech/test-clean/1089/134686"
    chapter.mkdir(parents=True)
    soundfile.write(chapter / "1089-134686-0000.flac", spoken, sample_rate)
    (chapter / "1089-134686.trans.txt").write_text("1089-134686-0000 OPEN THE DOOR\n")
    (folder / "meetings").mkdir()
    wavfile.write(folder / "meetings/monday.wav", sample_rate, spoken)
    turn = "SPEAKER monday 1 {} 0.5 <NA> <NA> {} <NA> <NA>\n"
    (folder / "meetings/monday.rttm").write_text(turn.format(0.1, "ann") + turn.format(0.2, "bob"))


def test_every_make_word_is_there() -> None:
    words = [command.split()[1] for command in commands() if command.startswith("make ")]
    assert {"demo", "install"} <= set(words)
    for word in words:
        subprocess.run(["make", "-n", word], cwd=ROOT, check=True, capture_output=True)


def test_every_command_does_what_it_says(desk: Path, realear, monkeypatch) -> None:
    """In this process: `test_cli` runs the installed command."""
    monkeypatch.chdir(desk)
    run = [shlex.split(command) for command in commands() if command.startswith("realear ")]
    assert len(run) >= 9
    for _, *words in run:
        ended = realear(*words)
        assert ended.code == 0, f"{words}\n{ended.text}"
    page = (desk / "realear/site/phone/index.html").read_text(encoding="utf-8")
    assert "Read speech and our phone recordings" in page


def test_its_model_is_one(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import models

    monkeypatch.syspath_prepend(str(desk))
    model = models.create("shouting:Shouting", gain=3.0)
    model.load()
    [louder] = model.enhance([np.ones(4, np.float32)], sample_rate=8_000)
    assert louder.tolist() == [3.0] * 4


def test_it_links_to_what_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
