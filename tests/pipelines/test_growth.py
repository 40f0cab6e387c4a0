"""A dataset that grows: clips stay in their shards, new ones open new ones, or all is cut anew."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import make
from pipelines.config import DatasetConfig
from pipelines.shards import datasets, sidecars
from pipelines.shards.packing import Cutting, place


class Item:
    def __init__(self, key: str) -> None:
        self.key = key


def homes(made) -> dict[str, str]:
    return {row.key: row.shard for row in datasets.read_rows(f"{made.folder}/index.parquet")}


def stamps(made) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(made.folder).glob("set-*")}


def with_clips(corpora, numbers, *, repack: bool = False, **config):
    for number in numbers:
        if not (corpora.folder / f"{number}.wav").exists():
            corpora.wav(f"{number}.wav", seed=number)
    corpus = {"folder": str(corpora.folder)}
    checked = DatasetConfig(**{"domain": "real", "tolerate": 1, "corpus": corpus} | config)
    return make.make("set", checked, corpora.workspace, corpora.engine, {}, repack=repack)


def test_new_clips_open_new_shards_and_no_other_is_touched(corpora):
    first = with_clips(corpora, range(12), shards=3)
    before, old = stamps(first), homes(first)
    grown = with_clips(corpora, range(15), shards=3)
    after, new = stamps(grown), homes(grown)
    assert {name: after[name] for name in before} == before
    assert {key: new[key] for key in old} == old
    assert {new[str(n)] for n in (12, 13, 14)} == {"set-000003"}
    assert grown.card.clips == 15
    again = with_clips(corpora, range(15), shards=3)
    assert (stamps(again), again.card) == (after, grown.card)


def test_many_new_clips_open_shards_as_large_as_the_old_ones(corpora):
    with_clips(corpora, range(6), shards=2)
    grown = with_clips(corpora, range(15), shards=2)
    assert [shard.clips for shard in grown.card.shards] == [3, 3, 3, 3, 3]


def test_a_clip_that_went_or_changed_rewrites_its_own_shard(corpora):
    first = with_clips(corpora, range(12), shards=3)
    before, old = stamps(first), homes(first)
    (corpora.folder / "4.wav").unlink()
    time.sleep(0.01)
    corpora.wav("7.wav", seed=77)
    after = stamps(with_clips(corpora, set(range(12)) - {4}, shards=3))
    changed = {name.split(".")[0] for name in before if after[name] != before[name]}
    assert changed == {old["4"], old["7"]}


def test_a_shard_whose_clips_all_went_goes_and_its_number_is_not_used_again(corpora):
    first = with_clips(corpora, range(6), shards=3)
    gone = {int(key) for key, home in homes(first).items() if home == "set-000001"}
    for number in gone:
        (corpora.folder / f"{number}.wav").unlink()
    fewer = with_clips(corpora, set(range(6)) - gone, shards=3)
    assert [shard.stem for shard in fewer.card.shards] == ["set-000000", "set-000002"]
    assert not list(Path(fewer.folder).glob("set-000001*"))
    more = with_clips(corpora, [*(set(range(6)) - gone), 6], shards=3)
    assert homes(more)["6"] == "set-000003"


def test_a_refused_clip_has_a_home_too_and_is_looked_at_again_once_it_is_mended(corpora):
    corpora.file("bad.wav", b"?")
    first = with_clips(corpora, range(8), shards=2)
    table = datasets.read_table(f"{first.folder}/failures.parquet").to_pylist()
    [home] = [row["shard"] for row in table]
    corpora.wav("bad.wav", seed=99)
    mended = with_clips(corpora, range(8), shards=2)
    assert homes(mended)["bad"] == home
    assert not mended.card.failed


def test_repacked_is_as_if_made_at_once_and_stays_so(corpora):
    with_clips(corpora, range(10), shards=2)
    with_clips(corpora, range(16), shards=2)
    repacked = with_clips(corpora, range(16), shards=2, repack=True)
    assert [shard.clips for shard in repacked.card.shards] == [8, 8]
    after = stamps(repacked)
    assert stamps(with_clips(corpora, range(16), shards=2)) == after
    content = repacked.card.content
    assert with_clips(corpora, range(16), shard_clips=5).card.content == content


def test_another_size_of_shards_cuts_anew(corpora):
    with_clips(corpora, range(12), shards=3)
    assert [s.clips for s in with_clips(corpora, range(12), shard_clips=6).card.shards] == [6, 6]


def test_what_was_made_before_the_run_was_killed_is_found_again(corpora):
    """A growing run that died before its card was written is planned in the same way again."""
    with_clips(corpora, range(12), shards=3)
    card = Path(corpora.workspace.dataset("set"), "dataset.json")
    index = card.with_name("index.parquet")
    old = card.read_bytes(), index.read_bytes()
    grown = with_clips(corpora, range(15), shards=3)
    card.write_bytes(old[0])
    index.write_bytes(old[1])
    before = stamps(grown)
    again = with_clips(corpora, range(15), shards=3)
    assert (stamps(again), again.card) == (before, grown.card)


KEYS = st.lists(st.text("abcdef", min_size=1, max_size=4), unique=True, max_size=40)


@given(KEYS, KEYS, st.integers(1, 5), st.sampled_from(["shards", "clips", "size"]))
def test_every_clip_has_one_shard_and_none_moves(first, second, number, by):
    cutting = Cutting(**{by: number})
    weight = {"size": lambda item: len(item.key)}.get(by)
    before = place("x", map(Item, first), cutting, size=weight)
    known = {item.key: stem for stem, shard in before for item in shard}
    after = place("x", map(Item, sorted({*first, *second})), cutting, known, weight)
    now = {item.key: stem for stem, shard in after for item in shard}
    assert len({stem for stem, _ in after}) == len(after)
    assert sorted(now) == sorted({*first, *second})
    assert {key: now[key] for key in first} == known
    assert not {now[key] for key in set(second) - set(first)} & set(known.values())


@pytest.mark.parametrize("form", ["flac", "original"])
def test_shards_are_as_large_as_was_asked_for(corpora, form):
    rng = np.random.default_rng(0)
    for number in range(60):
        length = int(rng.integers(2_000, 40_000))
        loud = rng.choice([0.5, 0.01])
        corpora.wav(f"{number}.wav", loud * rng.uniform(-1, 1, length), subtype="PCM_16")
    total = with_clips(corpora, [], format=form, shards=1)
    whole = Path(total.folder, "set-000000.tar").stat().st_size
    wanted = whole // 6
    made = with_clips(corpora, [], format=form, shard_bytes=wanted)
    assert len(made.card.shards) == 6
    for shard in made.card.shards:
        size = Path(made.folder, f"{shard.stem}.tar").stat().st_size
        assert 0.6 * wanted < size < 1.3 * wanted  # of ten clips of any length: one may be a fifth
        sidecars.check(made.folder, shard.stem)
