"""What `evaluate`, `demo` and `board` do with a board: show it, publish it, log it, judge it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from leaderboards import feed, runs, terminal
from leaderboards.records import Board
from leaderboards.tracking import Evaluation, Tracker, moments
from pipelines import evaluate as step
from pipelines import gates, progress, publish, since, stores, versions
from pipelines.config import Suite, parse_name
from pipelines.engines import Engine
from pipelines.gates import Gate, Known
from pipelines.publish import Outcome
from pipelines.records import GateFired, RealEarError, ToleranceExceeded, digest
from pipelines.workspace import Workspace

NO_TRACKING = "none"
MADE = "made.json"  # beside a page: what it was made from
FETCHED = "fetched"  # folder of the workspace for files from a tracking store
DRAWN_BY = ("jinja2", "vl-convert-python")
INDEX = "index.html"
LONG = 10.0  # seconds that an evaluation takes before what draws is started beside it


@dataclass(frozen=True)
class Asked:
    """What is wanted beside the board; `tracking` is a URI, "none", or None: the workspace's."""

    with_audio: bool = False
    tracking: str | None = None
    fail_if: tuple[str, ...] = ()
    since: str | None = None

    def tracker(self, suite: str, workspace: Workspace) -> Tracker | None:
        """Where evaluations of a suite are logged."""
        if self.tracking == NO_TRACKING:
            return None
        if self.tracking is not None:
            if "://" not in self.tracking:
                raise RealEarError(
                    f"--tracking: expected a URI such as sqlite:///runs.db or http://host:5000, or "
                    f"none, found {self.tracking!r}"
                )
            return Tracker(self.tracking, suite)
        if stores.is_url(workspace.root):
            raise RealEarError(
                f"{workspace.root}: expected a local folder for MLflow's database, found a URL: "
                "name a store by --tracking, or say --tracking none"
            )
        database, artifacts = Path(workspace.database), Path(workspace.artifacts)
        return Tracker(f"{runs.SQLITE}{database.absolute()}", suite, artifacts.absolute())


@dataclass(frozen=True)
class Judging:
    """Gates that were checked, and where an earlier evaluation is looked for."""

    gates: tuple[Gate, ...]
    since: str | None
    tracker: Tracker | None

    @classmethod
    def of(cls, asked: Asked, known: Sequence[Known], tracker: Tracker | None) -> Judging:
        """Checked before any work; RealEarError for a word or a run that is not known."""
        compared = asked.since is not None
        found = [gates.parse(text, known, since=compared) for text in asked.fail_if]
        if compared and asked.tracking == NO_TRACKING:
            raise RealEarError("--since needs a tracking store, found --tracking none")
        if asked.since not in (None, since.LAST) and tracker is not None:
            since.find(tracker, str(asked.since))
        return cls(tuple(found), asked.since, tracker)

    def judge(self, board: Board, when: str | None, over: Sequence[str] = ()) -> None:
        """Show what changed since, and what is wrong; GateFired or ToleranceExceeded if it is.

        `when` is the time of this board's own evaluation, None if it was not logged.
        """
        earlier = None
        if self.since is not None and self.tracker is not None:
            earlier = since.find(self.tracker, self.since, before=when)
            if earlier is None:
                _say("Since   last: there is no earlier evaluation yet")
            else:
                since.show(board, earlier)
        lines = gates.fired(self.gates, board, earlier)
        if over:
            fired = "".join(f"\n  {line}" for line in lines)
            raise ToleranceExceeded("more clips failed than tolerated: " + "; ".join(over) + fired)
        if lines:
            raise GateFired("--fail-if:" + "".join(f"\n  {line}" for line in lines))


@dataclass(frozen=True)
class Publishing:
    """A board on its way into the site and into the tracking store."""

    suite: Suite
    workspace: Workspace
    outcome: Outcome
    tracker: Tracker | None
    with_audio: bool

    @cached_property
    def evaluation(self) -> Evaluation:
        """The board as it is logged."""
        records = {each.handling.fingerprint: each.handling.record() for each in self.outcome.cells}
        found = self.outcome
        return Evaluation(self.suite.name, found.board, found.tables, records)

    @cached_property
    def standing(self) -> tuple[str, str] | None:
        """Run and time of this very evaluation, if it was logged before."""
        return self.tracker.standing(self.evaluation) if self.tracker else None

    @property
    def folder(self) -> str:
        """Where the page lies."""
        return f"{self.workspace.site}/{self.suite.name}"

    def page(self) -> str:
        """The page's path, written unless it stands there, made of the same."""
        if self.standing and (found := self._made(self.standing[0])):
            return found
        when = self.standing[1] if self.standing else None
        board = with_history(self.outcome.board, self.tracker, when)
        outcome = replace(self.outcome, board=board)
        page = publish.write_site(outcome, self.workspace, self.suite, with_audio=self.with_audio)
        self._finish(page, board, self.standing)
        return page

    def logged(self, page: str) -> tuple[str, str]:
        """Log the evaluation unless it was logged before; run and time of it."""
        if self.tracker is None:
            return "", ""
        place = self.tracker.uri
        news = "was logged before"
        run = self.standing
        if run is None:
            folder = Path(page).parent if Path(page).name == INDEX else None
            logged = self.tracker.log(self.evaluation, folder)
            run, news = (logged.parent, logged.when), f"logged, {logged.new} new runs"
            self._finish(page, with_history(self.outcome.board, self.tracker, run[1]), run)
        _say(f"MLflow  {news}: mlflow ui --backend-store-uri {place}")
        return run

    def _finish(self, page: str, board: Board, run: tuple[str, str] | None) -> None:
        """Feed, badge, and the note of what page and both were made from."""
        write_extras(self.folder, board, run)
        record = {"of": self._source(run[0] if run else ""), "page": page}
        stores.write_json(f"{self.folder}/{MADE}", record)

    def _made(self, run: str) -> str | None:
        """The page that stands there, if it is of the same and nobody has taken it away."""
        where = f"{self.folder}/{MADE}"
        if not stores.exists(where):
            return None
        record = stores.read_json(where)
        same = record["of"] == self._source(run) and stores.exists(record["page"])
        return str(record["page"]) if same else None

    def _source(self, run: str) -> str:
        """Digest of all that decides the page: the board, its clips, its history, our own code."""
        board = self.outcome.board.to_json()
        return digest([board, self.evaluation.key, run, self.with_audio, _code()])


def _code() -> list[str]:
    """What draws pages: our own files, and libraries by version."""
    found = [versions.code("leaderboards"), versions.code("pipelines", "metrics")]
    return [*found, *map(versions.installed, DRAWN_BY)]


def with_history(board: Board, tracker: Tracker | None, before: str | None) -> Board:
    """The board with the evaluations logged before a time; all of them where it is None."""
    if tracker is None:
        return board
    return replace(board, history=moments(tracker.earlier(before)))


def write_extras(folder: str, board: Board, run: tuple[str, str] | None) -> None:
    """The feed of a board's evaluations and its badge."""
    name, when = run or ("", "")
    stores.write_bytes(f"{folder}/feed.json", feed.feed(board, run=name, when=when).encode())
    stores.write_bytes(f"{folder}/badge.svg", feed.badge(board).encode())


def validate(suite: Suite, asked: Asked) -> None:
    """Every word of the suite and of the gates; nothing is run, and no store is asked."""
    step.check_models(suite)
    step.check_datasets(suite)
    Judging.of(replace(asked, since=asked.since and since.LAST), gates.of_suite(suite), None)


def evaluate(suite: Suite, workspace: Workspace, engine: Engine, asked: Asked) -> None:
    """Evaluate, show, publish, log, judge.

    ToleranceExceeded if a model failed too often, GateFired if a gate did, both at the very end.
    """
    tracker = asked.tracker(suite.name, workspace)
    judging = Judging.of(asked, gates.of_suite(suite), tracker)
    with _ready_to_draw():
        outcome = step.evaluate(suite, workspace, engine)
    terminal.show(outcome.board)
    with stores.alone(workspace.root, waiting=progress.wait):  # else two would log it twice
        publishing = Publishing(suite, workspace, outcome, tracker, asked.with_audio)
        page = publishing.page()
        _say_page(page)
        _, when = publishing.logged(page)
    judging.judge(outcome.board, when or None, outcome.over_tolerance())


@contextmanager
def _ready_to_draw() -> Iterator[None]:
    """Around work: what draws is started beside it, once it takes longer than LONG."""

    def start() -> None:
        from leaderboards import charts  # a board that stands already needs none of it

        charts.start()

    timer = threading.Timer(LONG, start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def show(suite: Suite, workspace: Workspace, asked: Asked) -> None:
    """A suite's board again, from the scores that are there; nothing is scored, nothing logged."""
    tracker = asked.tracker(suite.name, workspace)
    if tracker and (file := runs.database(tracker.uri)) and not Path(file).is_file():
        tracker = None  # nothing was logged yet, and looking would make a database
    judging = Judging.of(asked, gates.of_suite(suite), tracker)
    outcome = step.existing(suite, workspace)
    terminal.show(outcome.board)
    publishing = Publishing(suite, workspace, outcome, tracker, asked.with_audio)
    _say_page(publishing.page())
    judging.judge(outcome.board, publishing.standing[1] if publishing.standing else None)


def from_mlflow(uri: str, experiment: str | None, workspace: Workspace, asked: Asked) -> None:
    """The latest board of an experiment and its page, from a tracking store and nothing else."""
    from leaderboards import details, rebuilding, site

    folder = Path(workspace.root, FETCHED)
    try:
        found = rebuilding.rebuild(uri, folder, experiment=experiment)
    except ValueError as error:
        raise RealEarError(f"--from-mlflow: {error}") from error
    tracker = Tracker(uri, parse_name(found.suite))  # it names a folder
    judging = Judging.of(asked, gates.of_board(found.board), tracker)
    terminal.show(found.board)
    board = with_history(found.board, tracker, found.when)
    place = f"{workspace.site}/{found.suite}"
    page = site.write(board, place, details=details.read(board, found.tables))
    write_extras(place, board, (found.run, found.when))
    _say(f"MLflow  run {found.run}: {found.fetched} files fetched, {found.kept} were there")
    _say_page(str(page))
    judging.judge(found.board, found.when)


def _say_page(page: str) -> None:
    _say(f"Board   {page if stores.is_url(page) else Path(page).absolute()}")


def _say(text: str) -> None:
    progress.console.print(text, soft_wrap=True)
