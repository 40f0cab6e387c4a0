import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import retrieval as module
from metrics.base import FailedPrediction, UndefinedMetric
from metrics.retrieval import cosine_similarity, map_at_10, recall_at_k, retrieval, search


def slow(similarity, relevant, ks):
    """R@k and mAP@10 of rows over columns, query by query, sorting: ties worst first."""
    recalls, averages = [], []
    for row, wanted in zip(similarity, relevant, strict=True):
        if not wanted.any():
            continue
        order = sorted(range(len(row)), key=lambda i: (-row[i], wanted[i]))
        hits = [rank for rank, i in enumerate(order, 1) if wanted[i]]
        recalls.append([hits[0] <= k for k in ks])
        found = [n / rank for n, rank in enumerate(hits, 1) if rank <= 10]
        averages.append(sum(found) / min(10, len(hits)))
    return np.mean(recalls, axis=0), np.mean(averages)


@st.composite
def cases(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    audios, texts = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    levels = draw(st.sampled_from([2, 5, 1000]))
    return random.integers(0, levels, (audios, texts)) / levels, random.integers(0, audios, texts)


@given(cases())
def test_agrees_with_sorting_query_by_query(case):
    similarity, owners = case
    relevant = owners[None] == np.arange(len(similarity))[:, None]
    found = retrieval(similarity, owners=owners, ks=(1, 5, 10))
    for ours, matrix, wanted in (
        (found.audio_to_text, similarity, relevant),
        (found.text_to_audio, similarity.T, relevant.T),
    ):
        recalls, average = slow(matrix, wanted, (1, 5, 10))
        assert list(ours.recall.values()) == pytest.approx(list(recalls))
        assert ours.map_10 == pytest.approx(average)
        assert ours.queries == int(wanted.any(axis=1).sum())


@given(cases(), st.integers(1, 90))
def test_blocks_do_not_matter(case, block):
    similarity, owners = case
    with pytest.MonkeyPatch.context() as patch:
        whole = retrieval(similarity, owners=owners)
        patch.setattr(module, "BLOCK", block)
        assert retrieval(similarity, owners=owners) == whole


def test_by_hand():
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.3, 0.4, 0.2]])
    found = retrieval(similarity, ks=(1, 2, 3))
    assert found.audio_to_text.recall == {1: 1 / 3, 2: 2 / 3, 3: 1.0}
    assert found.audio_to_text.map_10 == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found.text_to_audio.recall == {1: 2 / 3, 2: 1.0, 3: 1.0}  # text 2 ties with audio 0
    assert found.text_to_audio.map_10 == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert recall_at_k(similarity, 1) == (1 / 3, 2 / 3)
    assert map_at_10(similarity)[0] == found.audio_to_text.map_10


def test_several_texts_of_one_audio():
    similarity = np.array([[0.9, 0.5, 0.7, 0.1], [0.2, 0.8, 0.6, 0.4]])
    found = retrieval(similarity, owners=[0, 0, 1, 1], ks=(1,))
    # Audio 0 has its texts at 1 and 3, audio 1 at 2 and 3.
    assert found.audio_to_text.recall == {1: 0.5}
    assert found.audio_to_text.map_10 == pytest.approx(((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 2)
    assert found.text_to_audio.recall == {1: 0.5}
    assert found.text_to_audio.queries == 4


def test_a_constant_matrix_finds_nothing():
    # Sorting with the answers on the diagonal would find every first query.
    found = retrieval(np.ones((20, 20)))
    assert found.audio_to_text.recall == {1: 0.0, 5: 0.0, 10: 0.0}
    assert found.audio_to_text.map_10 == 0.0
    assert retrieval(np.eye(20)).text_to_audio.recall[1] == 1.0


def test_beyond_ten_there_is_no_precision():
    similarity = np.eye(12)
    similarity[0] = [-1.0, *np.linspace(1, 2, 11)]
    found = retrieval(similarity)
    assert found.audio_to_text.map_10 == pytest.approx(11 / 12)
    assert found.audio_to_text.recall[10] == pytest.approx(11 / 12)


def test_an_audio_without_text_is_no_query_but_may_be_found():
    found = retrieval(np.array([[0.1], [0.9]]), owners=[0], ks=(1,))
    assert found.audio_to_text.queries == 1
    assert found.text_to_audio.recall == {1: 0.0}


def test_cosines():
    found = cosine_similarity([[2.0, 0.0], [1.0, 1.0]], [[3.0, 0.0], [0.0, -1.0]])
    assert found == pytest.approx(np.array([[1, 0], [2**-0.5, -(2**-0.5)]]))
    with pytest.raises(FailedPrediction, match="zero_embedding"):
        cosine_similarity([[0.0, 0.0]], [[1.0, 0.0]])
    with pytest.raises(FailedPrediction, match="not_finite"):
        cosine_similarity([[np.nan, 0.0]], [[1.0, 0.0]])
    with pytest.raises(ValueError, match="one dimension, found 2 and 1"):
        cosine_similarity([[1.0, 0.0]], [[1.0]])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: retrieval(np.zeros((0, 0))), UndefinedMetric, "no_queries"),
        (lambda: retrieval(np.zeros((2, 3))), ValueError, "expected a square without owners"),
        (lambda: retrieval(np.zeros((2, 2), int)), ValueError, "expected floats"),
        (lambda: retrieval(np.zeros((2, 3)), owners=[0, 1]), ValueError, "expected 3 whole"),
        (lambda: retrieval(np.zeros((2, 2)), owners=[0, 2]), ValueError, "expected 0 to 1"),
        (lambda: retrieval(np.zeros((2, 2)), ks=(0,)), ValueError, "ks: expected 1 or more"),
        (lambda: retrieval(np.full((2, 2), np.nan)), FailedPrediction, "not_finite"),
    ],
)
def test_wrong_arguments_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def along_axes(random, rows):
    """Unit vectors whose cosines are -1, 0 or 1, exactly: nearly all are tied."""
    return random.choice([-2.0, 1.0], (rows, 1)) * np.eye(4)[random.integers(0, 4, rows)]


def anywhere(random, rows):
    return random.normal(size=(rows, 4))


@pytest.mark.parametrize("drawn", [along_axes, anywhere])
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 50), st.integers(1, 9))
def test_tile_by_tile_is_the_whole_matrix(drawn, seed, audios, texts, tile):
    random = np.random.default_rng(seed)
    left, right = drawn(random, audios), drawn(random, texts)
    owners = random.integers(0, audios, texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", tile)
        found = search(left.astype(np.float32), right.astype(np.float32), owners=owners)
    wanted = retrieval(cosine_similarity(left, right), owners=owners)
    for ours, theirs in ((found.audio_to_text, wanted.audio_to_text),
                         (found.text_to_audio, wanted.text_to_audio)):  # fmt: skip
        assert ours.queries == theirs.queries
        assert ours.recall == theirs.recall
        assert ours.map_10 == pytest.approx(theirs.map_10)


def test_a_model_that_says_the_same_of_everything_finds_nothing():
    same = np.ones((30, 5), np.float32)
    found = search(same, same)
    assert found.audio_to_text.recall == {1: 0, 5: 0, 10: 0}
    assert found.text_to_audio.map_10 == 0


def test_search_reads_from_a_file_and_refuses_what_has_no_direction(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    assert search(mapped, mapped).audio_to_text.recall[1] == 1.0
    with pytest.raises(FailedPrediction, match="zero_embedding"):
        search(np.zeros((2, 3), np.float32), values[:2, :3])
    with pytest.raises(ValueError, match="expected one dimension, found 6 and 3"):
        search(values, values[:, :3])
    with pytest.raises(UndefinedMetric):
        search(values[:0], values[:0])


def test_ranking_metrics_are_scikit_learns():
    """With one relevant answer R@k is top-k accuracy, and mAP@10 the mean of 1 / rank up to 10."""
    from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

    random = np.random.default_rng(5)
    audios = random.normal(size=(60, 8))
    texts = audios + random.normal(size=(60, 8))
    cosines = cosine_similarity(audios, texts)
    found = search(audios.astype(np.float32), texts.astype(np.float32), ks=(1, 5, 10))
    every = np.arange(60)
    for k in (1, 5, 10):
        ours = found.audio_to_text.recall[k], found.text_to_audio.recall[k]
        assert ours[0] == pytest.approx(top_k_accuracy_score(every, cosines, k=k))
        assert ours[1] == pytest.approx(top_k_accuracy_score(every, cosines.T, k=k))
    whole = label_ranking_average_precision_score(np.eye(60, dtype=int), cosines)
    ranks = (cosines >= cosines.diagonal()[:, None]).sum(axis=1)
    assert np.mean(1 / ranks) == pytest.approx(whole)  # scikit-learn's has no cutoff
    assert found.audio_to_text.map_10 == pytest.approx(np.where(ranks <= 10, 1 / ranks, 0).mean())
