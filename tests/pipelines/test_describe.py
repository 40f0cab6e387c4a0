import base64
import csv
import io
import json
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipelines import auditions, describe, stores
from pipelines.auditions import LONGEST
from pipelines.records import RealEarError, ToleranceExceeded
from pipelines.shards import datasets

RATE = 8_000


def page_of(corpora, name: str = "set", *, with_audio: bool = False) -> str:
    path = describe.describe(name, corpora.workspace, with_audio=with_audio)
    return path.read_text(encoding="utf-8")


def players(page: str) -> dict[str, tuple[str, bytes]]:
    """What each player is labelled to the format and the bytes of its sound."""
    found = re.findall(r'aria-label="([^"]*)" src="data:([^;]*);base64,([^"]*)"', page)
    return {label: (kind, base64.b64decode(data)) for label, kind, data in found}


def embedded(page: str) -> dict:
    [body] = re.findall(r'<script type="application/json" id="dataset">(.*)</script>', page)
    return json.loads(body)


@pytest.fixture
def street(corpora):
    """Twelve clips by three speakers, told in a manifest, one clip twice, one that is no sound."""
    lines = [["path", "speaker", "text", "place"]]
    for n in range(12):
        level = 10 ** (-(n + 6) / 20)
        corpora.wav(f"c{n:02}.wav", corpora.noise(RATE // 2 + 400 * n, seed=n) * level)
        place = ["<b>hall</b>", "street"][n % 2] if n else ""
        lines.append([f"c{n:02}.wav", f"s{n % 3}", f"one two {n}", place])
    corpora.file("c12.wav", (corpora.folder / "c03.wav").read_bytes())
    lines.append(["c12.wav", "s0", "one two 3", "street"])
    corpora.file("broken.wav", "no sound")
    lines.append(["broken.wav", "s0", "never heard", "street"])
    table = io.StringIO()
    csv.writer(table).writerows(lines)
    corpora.prepare(file=str(corpora.file("m.csv", table.getvalue())))
    return corpora


def test_text_and_page_say_what_the_rows_say(street, capsys) -> None:
    page = page_of(street)
    said = capsys.readouterr().out
    found = embedded(page)
    rows = datasets.read_rows(f"{street.workspace.dataset('set')}/{datasets.INDEX}")
    assert found["clips"] == len(rows) == 13
    labels = {label["name"]: label for label in found["labels"]}
    for name in ("speaker", "text"):
        counted = Counter(getattr(row, name) for row in rows)
        assert labels[name]["clips"] == 13
        assert labels[name]["values"] == len(counted)
        best = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
        assert labels[name]["common"] == [list(pair) for pair in best[:10]]
    assert labels["session"]["clips"] == 0
    places = Counter(row.labels["place"] for row in rows if "place" in row.labels)
    assert dict(labels["place"]["common"]) == places
    quantities = {quantity["name"]: quantity for quantity in found["quantities"]}
    for name, scale in (("seconds", 1), ("rms_dbfs", 1), ("bandwidth_hz", 1e-3), ("silence", 100)):
        values = [getattr(row, name) * scale for row in rows]
        assert quantities[name]["median"] == pytest.approx(np.median(values))
        assert quantities[name]["most"] == pytest.approx(max(values))
        assert sum(quantities[name]["histogram"]["counts"]) == 13
    each = [sum(r.seconds for r in rows if r.speaker == f"s{n}") for n in range(3)]
    assert quantities["speaker_seconds"]["least"] == pytest.approx(min(each))
    assert found["words"] == [39, 2 + 12]
    assert found["size"] == sum(member.length for row in rows for member in row.members)
    for text in ("13 real clips by 3 speakers", "1 clip (7.7 %) sounds exactly as another one",
                 "7.1 % of 14", "undecodable", "broken"):  # fmt: skip
        assert text in " ".join(said.split()), text
        assert text in page, text
    assert "<b>hall" in said
    assert "<b>hall" not in page
    assert "&lt;b&gt;hall&lt;/b&gt;" in page


def test_clips_are_heard_only_where_they_may_be(street) -> None:
    assert players(page_of(street)) == {}
    assert len(players(page_of(street, with_audio=True))) == 3
    card = stores.read_json(f"{street.workspace.dataset('set')}/{datasets.CARD}")
    stores.write_json(
        f"{street.workspace.dataset('set')}/{datasets.CARD}", card | {"redistribute": True}
    )
    assert len(players(page_of(street))) == 3


def test_the_players_play_what_they_say(street) -> None:
    heard = players(page_of(street, with_audio=True))
    kinds = {
        kind: label.partition(": ")[2]
        for label in heard
        for kind in label.split(": ")[0].split(", ")
    }
    assert kinds["loudest"] == "c00"
    assert kinds["quietest"] == kinds["longest"] == "c11"
    kind, data = heard["loudest: c00"]
    samples, rate = soundfile.read(io.BytesIO(data))
    original, _ = soundfile.read(street.folder / "c00.wav")
    assert kind == "audio/flac"
    assert rate == RATE
    np.testing.assert_array_equal(samples, original)


def test_sounds_stay_as_they_are_if_browsers_know_them_and_they_are_short(corpora) -> None:
    corpora.wav("short.ogg", subtype="VORBIS")
    corpora.wav("long.wav", corpora.noise(20 * RATE))
    corpora.wav("array.wav", np.stack([corpora.noise(900, seed=n) for n in range(4)], axis=1))
    corpora.prepare(config={"format": "original", "channels": "keep"})
    heard = {label.partition(": ")[2]: found for label, found in
             players(page_of(corpora, with_audio=True)).items()}  # fmt: skip
    assert heard["short"] == ("audio/ogg", (corpora.folder / "short.ogg").read_bytes())
    for key, seconds in (("long", LONGEST), ("array", 900 / RATE)):
        kind, data = heard[key]
        samples, rate = soundfile.read(io.BytesIO(data))
        assert kind == "audio/flac"
        assert samples.ndim == 1
        assert len(samples) == round(seconds * rate)


def test_the_page_is_the_same_every_time(street) -> None:
    assert page_of(street, with_audio=True) == page_of(street, with_audio=True)


def test_a_folder_is_described_as_well_as_a_name(street) -> None:
    by_folder = describe.describe(
        street.workspace.dataset("set"), street.workspace, with_audio=False
    )
    assert by_folder.as_posix() == f"{street.workspace.site}/datasets/set.html"
    assert [path.name for path in by_folder.parent.iterdir()] == ["set.html"]


def test_a_dataset_without_any_clip_is_described(corpora, capsys) -> None:
    corpora.file("a.wav", "no sound")
    with pytest.raises(ToleranceExceeded, match="not one of 1 clips"):
        corpora.prepare()
    page = page_of(corpora, with_audio=True)
    assert "There is nothing to measure." in page
    assert "undecodable" in page
    assert "without any clip" in capsys.readouterr().out


@pytest.mark.parametrize("name", [datasets.INDEX, datasets.FAILURES])
def test_a_dataset_without_its_tables_is_refused(street, name: str) -> None:
    stores.remove(f"{street.workspace.dataset('set')}/{name}")
    with pytest.raises(RealEarError, match=r"expected index.parquet and failures.parquet"):
        page_of(street)


def test_no_name_of_a_card_leads_out_of_the_site(street) -> None:
    where = f"{street.workspace.dataset('set')}/{datasets.CARD}"
    stores.write_json(where, stores.read_json(where) | {"name": "../../out"})
    with pytest.raises(RealEarError, match="is not a dataset's card"):
        page_of(street)
    assert not stores.exists(street.workspace.site)


def test_an_unknown_dataset_is_refused(street) -> None:
    with pytest.raises(RealEarError, match="found none called 'sett'"):
        page_of(street, "sett")


def test_typical_and_extreme_clips_are_chosen_and_of_equals_the_first() -> None:
    table = pa.table(
        {
            "key": ["e", "d", "c", "b", "a"],
            "seconds": [1.0, 2.0, 3.0, 9.0, 9.0],
            "rms_dbfs": [-10.0, None, -30.0, -20.0, -30.0],
            "clipping": [0.0, None, 0.0, 0.0, 0.2],
        }
    )
    assert auditions.choose(table, level="rms_dbfs") == {
        "c": ("median length",),
        "a": ("median level", "quietest", "longest", "most clipped"),
        "e": ("loudest",),
    }
    unheard = table.set_column(2, "rms_dbfs", pa.nulls(5, pa.float64()))
    unheard = unheard.set_column(3, "clipping", pa.nulls(5, pa.float64()))
    assert auditions.choose(unheard, level="rms_dbfs") == {
        "c": ("median length",),
        "a": ("longest",),
    }


def test_real_speech_is_described(corpora, recordings) -> None:
    corpora.prepare(
        folder=str(recordings / "free-spoken-digits"),
        audio="{digit}_{speaker}_{take}.wav",
        text={"label": "digit"},
        config={"limit": 60},
    )
    found = embedded(page_of(corpora))
    assert found["sample_rates"] == [[RATE, 60]]
    level = next(q for q in found["quantities"] if q["name"] == "rms_dbfs")
    assert -60 < level["low"] < level["median"] < level["high"] < 0
    assert {label["name"] for label in found["labels"]} >= {"text", "speaker", "digit", "take"}
