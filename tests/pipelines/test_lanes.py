"""Lanes: every part once, whoever is quick."""

import threading
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipelines import lanes
from pipelines.lanes import by_cost
from pipelines.records import Part


def group(name: str) -> lanes.Group:
    return (Part("/nowhere", name, "these", 1, 1.0, None),)


def names(groups: Iterator[lanes.Group]) -> list[str]:
    return [part.stem for parts in groups for part in parts]


def test_a_worker_does_its_own_lane_and_then_what_others_have_not_begun() -> None:
    with lanes.laid([[[group("a"), group("d")], [group("b"), group("c"), group("e")]]]) as (
        one,
        two,
    ):
        slow = lanes.taken(two)
        assert names(iter([next(slow)])) == ["b"]
        assert names(lanes.taken(one)) == ["a", "d", "e", "c"]  # from the other lane's end
        assert names(slow) == []
        folder = Path(one.folder)
    assert not folder.exists()


def test_nothing_is_taken_before_it_is_asked_for() -> None:
    with lanes.laid([[[group("a")], [group("b")]]]) as (one, two):
        waiting = lanes.taken(one)
        assert names(lanes.taken(two)) == ["b", "a"]
        assert names(waiting) == []


def test_a_worker_helps_with_a_step_before_it_goes_on_to_the_next() -> None:
    first = [[group("a")], [group("b"), group("c"), group("d")]]
    second = [[group("p"), group("q")], [group("r")]]
    with lanes.laid([first, second]) as (one, two):
        slow, quick = lanes.taken(two), lanes.taken(one)
        assert names(iter([next(slow)])) == ["b"]
        assert names(quick) == ["a", "d", "c", "p", "q", "r"]
        assert names(slow) == []


def test_many_at_once_take_every_part_once() -> None:
    stems = [[f"{lane}-{n}" for n in range(40)] for lane in range(8)]
    found: list[str] = []
    with lanes.laid([[[group(stem) for stem in lane] for lane in stems]]) as laid:
        workers = [
            threading.Thread(target=lambda lane=lane: found.extend(names(lanes.taken(lane))))
            for lane in laid
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert sorted(found) == sorted(stem for lane in stems for stem in lane)


def test_lanes_dearest_first_each_to_the_shortest():
    assert by_cost([1, 5, 3, 3], 2) == [[1, 0], [2, 3]]
    assert by_cost([2, 2, 2], 8) == [[0], [1], [2]]
    assert by_cost([], 4) == []


@given(st.lists(st.floats(0, 1e6), max_size=40), st.integers(1, 9))
def test_lanes_hold_every_part_once_and_are_balanced(costs, workers):
    packed = by_cost(costs, workers)
    assert sorted(index for lane in packed for index in lane) == list(range(len(costs)))
    assert len(packed) <= workers
    assert all(packed)
    loads = [sum(costs[index] for index in lane) for lane in packed]
    # Graham's bound: no lane is longer than the mean by more than the dearest part.
    assert max(loads, default=0) <= (sum(costs) / workers + max(costs, default=0)) * (1 + 1e-9)
