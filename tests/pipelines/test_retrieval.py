"""Retrieval: captions and sounds find each other among all of a dataset, and every clip counts."""

from pathlib import Path

import numpy as np
import pytest

from metrics.retrieval import retrieval
from pipelines.cleaning import clean
from pipelines.config import parse_suite
from pipelines.evaluate import evaluate
from pipelines.records import RealEarError

pytestmark = pytest.mark.usefixtures("doubles")

SAID = (300, 700, 1_100, 1_500, 1_900, 2_300, 2_700, 3_100, 3_500)  # Hz
HEARD = (310, 730, 1_510, 1_120, 1_940, 2_890, 2_720, 3_130, 3_850)


def tone(hertz: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(8_000) / 8_000)


def suite(folder: Path, **more) -> dict:
    corpus = {"folder": str(folder), "audio": "{take}_{caption}.wav", "speaker": "{take}"}
    return {
        "name": "found",
        "datasets": {"tones": {"domain": "real", "corpus": corpus, "shards": 3, **more}},
        "comparisons": {
            "search": {"task": "retrieval", "models": ["listeners:Pitches"], "real": ["tones"]}
        },
    }


def value(section) -> float | None:
    return section.rows[0].real.value


@pytest.fixture
def sections(corpora):
    def evaluated(suite_: dict) -> dict:
        outcome = evaluate(parse_suite(suite_, "here"), corpora.workspace, corpora.engine)
        return {section.measure.name: section for section in outcome.board.sections}

    return evaluated


def test_recall_and_precision_are_those_of_the_whole_matrix(corpora, sections):
    for take, (said, heard) in enumerate(zip(SAID, HEARD, strict=True)):
        corpora.wav(f"{take}_{said}.wav", tone(heard))
    found = sections(suite(corpora.folder))
    similarity = np.cos(0.5 * np.pi * np.subtract.outer(HEARD, SAID) / 4_000)
    wanted = retrieval(similarity)
    for way, direction in (("a2t", wanted.audio_to_text), ("t2a", wanted.text_to_audio)):
        for k in (1, 5):
            assert value(found[f"{way}_r{k}"]) == pytest.approx(direction.recall[k])
        assert value(found[f"{way}_map10"]) == pytest.approx(direction.map_10)
        assert found[f"{way}_r10"].rows[0].real.counts.undefined == {"too_few": 9}
    assert value(found["a2t_r1"]) < 1
    assert (
        clean([parse_suite(suite(corpora.folder), "here")], corpora.workspace, remove=False) == []
    )


def test_clips_of_one_caption_do_not_stand_in_each_others_way(corpora, sections):
    for take, said in enumerate([300, 300, 300, 1_500, 2_700, 3_500, 3_900]):
        corpora.wav(f"{take}_{said}.wav", tone(said))
    found = sections(suite(corpora.folder))
    assert value(found["t2a_r1"]) == value(found["a2t_r1"]) == 1.0
    assert found["a2t_r5"].rows[0].real.counts.undefined == {"too_few": 7}  # five texts


def test_a_dataset_without_captions_and_a_model_without_words_are_told(corpora, sections):
    corpora.wav("0_300.wav", tone(300))
    plain = suite(corpora.folder)
    plain["datasets"]["tones"]["corpus"]["audio"] = "{take}_{pitch}.wav"
    with pytest.raises(RealEarError, match="expected clips with a label `caption`, found none"):
        sections(plain)
    deaf = suite(corpora.folder)
    deaf["comparisons"]["search"]["models"] = ["listeners:Spectrum"]
    with pytest.raises(RealEarError, match="expected one that embeds texts, too"):
        sections(deaf)
