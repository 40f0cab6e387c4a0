"""What a board is made of: small frozen records that know nothing of files, charts or pages.

Values are kept raw, in the metric's own unit (a word error rate of 26.7 % is 0.267), so that a
board can be compared with another tool's numbers; `Measure.scale` says how they are shown.
Every record answers `to_json()` with plain dictionaries, lists, strings and numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from metrics.intervals import LEVEL, Estimate, Interval

Domain = Literal["synthetic", "simulated", "real"]
Role = Literal["model", "baseline", "oracle"]

DOMAINS: tuple[Domain, ...] = ("synthetic", "simulated", "real")
ROLES: tuple[Role, ...] = ("model", "baseline", "oracle")


def plain(value: Any) -> Any:
    """The value as JSON knows it: records and mappings to dicts, tuples to lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Record:
    """A frozen dataclass that can be written as JSON."""

    def to_json(self) -> dict[str, Any]:
        """This record as plain JSON values; its fields in their declared order."""
        answer: dict[str, Any] = plain(self)
        return answer


@dataclass(frozen=True)
class ScoreTable(Record):
    """The per-clip scores of one model on one dataset by one metric.

    `metric` is the whole metric spec (name, version, parameters, library versions) and
    `metric_hash` its hash; `paths` are the Parquet files that hold a row a clip. `rtfx` is audio
    seconds by processing seconds, None where it was not measured. `parameters` is the number of the
    model's weights, None where it has none or nobody counted; `hardware` names what it ran on, ''
    where that is not known; `load_seconds` is how long loading took, None likewise.
    """

    model: str
    fingerprint: str
    role: Role
    dataset: str
    domain: Domain
    metric: Mapping[str, Any]
    metric_hash: str
    paths: tuple[str, ...]
    rtfx: float | None = None
    parameters: int | None = None
    hardware: str = ""
    load_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse a domain or role that no board knows."""
        _one_of("domain", self.domain, DOMAINS)
        _one_of("role", self.role, ROLES)


@dataclass(frozen=True)
class SliceRule(Record):
    """A named way of cutting clips into groups by a column of the dataset's index.

    `column` is the index's own (`seconds`, `speaker`) or a label (`labels.snr`). Numbers are cut at
    the rising `edges` (`<5`, `5–10`, `≥10`, shown with `unit`); texts are grouped by the declared
    `values`, or without any by what is found, at most 20, the most frequent first, the rest
    "other". Clips without the column, or with no number where edges want one, are "not given".
    """

    name: str
    column: str
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse edges that do not rise, and edges together with values."""
        if self.edges and self.values:
            raise ValueError(f"slice {self.name!r}: expected edges or values, found both")
        if any(not low < high for low, high in pairwise(self.edges)):
            raise ValueError(
                f"slice {self.name!r}: expected edges that rise, found {list(self.edges)}"
            )


@dataclass(frozen=True)
class ClipRule(Record):
    """Which clips count: those whose column is at least `low`, below `high`, one of `values`.

    What is None or empty is not asked. A clip without the column does not count.
    """

    column: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Blind(Record):
    """Whose guesses a blind metric's values are, and of what.

    `truth` is the name of the metric that `estimator` guesses, `truth_hash` the spec by which clips
    that come with a truth are scored as well. `card` is what its maker measured of the estimator,
    as plain JSON values, None where nobody did.
    """

    estimator: str
    truth: str
    truth_hash: str
    card: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Comparison(Record):
    """One question to the models: a task, a metric, and the datasets of each domain.

    `metric_hash` picks one spec where a dataset was scored by several of the same name. `mixed`
    tells the board to set different specs side by side all the same; it says so in a note.
    `slices` are the ways in which the clips are cut. `clips` says which clips count at all;
    `min_scored` is the share (0 to 1) of a dataset's clips that a model must be scored on to be
    ranked; `tie_level` is the level (0 to 1) of the paired intervals that make ties, None for a
    ranking without ties. `blind` tells of a blind metric's estimator, None for any other metric.
    `models` are the fingerprints of those compared, empty for all that have scores.
    """

    name: str
    task: str
    title: str
    metric: str
    synthetic: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    real: tuple[str, ...] = ()
    metric_hash: str | None = None
    mixed: bool = False
    slices: tuple[SliceRule, ...] = ()
    clips: tuple[ClipRule, ...] = ()
    min_scored: float = 0.0
    tie_level: float | None = LEVEL
    blind: Blind | None = None
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a comparison of nothing, and a dataset that stands in two domains."""
        names = [name for domain in DOMAINS for name in self.datasets(domain)]
        if not names:
            raise ValueError(
                f"comparison {self.name!r}: expected at least one dataset, found none; "
                "list datasets under synthetic, simulated or real"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"comparison {self.name!r}: expected each dataset once, found {twice} more than "
                "once; keep each in the one domain it belongs to"
            )

    def datasets(self, domain: Domain) -> tuple[str, ...]:
        """The names of a domain's datasets, in the suite's order."""
        names: tuple[str, ...] = getattr(self, domain)
        return names


@dataclass(frozen=True)
class DatasetInfo(Record):
    """A dataset as its card tells it; `refused` counts what preparation left out, by reason.

    `index` is the path of its index, a Parquet file with a row a clip, '' where slices are not
    wanted; `content` is the digest of its sounds and labels. `redistribute` says whether its
    sounds may be given to others.
    """

    name: str
    domain: Domain
    clips: int
    seconds: float
    refused: Mapping[str, int] = field(default_factory=dict)
    index: str = ""
    content: str = ""
    redistribute: bool = False

    def __post_init__(self) -> None:
        """Refuse a domain that no board knows."""
        _one_of("domain", self.domain, DOMAINS)


@dataclass(frozen=True)
class Counts(Record):
    """How the clips ended: scored, undefined (the input's fault) or failed (the model's)."""

    scored: int = 0
    undefined: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    capped: int = 0

    @property
    def n_undefined(self) -> int:
        """Clips that no model could have been scored on."""
        return sum(self.undefined.values())

    @property
    def n_failed(self) -> int:
        """Clips that the model failed on."""
        return sum(self.failed.values())

    @property
    def total(self) -> int:
        """All clips, however they ended."""
        return self.scored + self.n_undefined + self.n_failed

    def __add__(self, other: Counts) -> Counts:
        """Both sets of clips counted together."""
        return Counts(
            self.scored + other.scored,
            _added(self.undefined, other.undefined),
            _added(self.failed, other.failed),
            self.capped + other.capped,
        )


@dataclass(frozen=True)
class DatasetCell(Record):
    """One model on one dataset: `value` is None when nothing was scored."""

    dataset: str
    domain: Domain
    value: float | None
    interval: Interval | None
    counts: Counts
    note: str = ""


@dataclass(frozen=True)
class Cell(Record):
    """One model in one domain.

    `value` is the unweighted mean over the domain's datasets, None unless the model covers them
    all (`note` says what is missing). `rank` counts from 1 in the domain and is None for what is
    not ranked. `tied_with` names the neighbours in the ranking whose paired difference may be
    zero; `tie_unknown` names those too thinly sampled to tell.
    """

    domain: Domain
    value: float | None
    interval: Interval | None
    counts: Counts
    datasets: tuple[DatasetCell, ...] = ()
    note: str = ""
    rank: int | None = None
    tied_with: tuple[str, ...] = ()
    tie_unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change(Record):
    """How much worse a model is away from the synthetic data: positive is worse, either way."""

    value: float | None
    interval: Interval | None = None
    paired: bool = False
    note: str = ""


@dataclass(frozen=True)
class Row(Record):
    """One model in a comparison. `unranked` says why it takes no part in the ranking, or ''.

    `parameters` and `hardware` are as in its score tables.
    """

    model: str
    fingerprint: str
    role: Role
    synthetic: Cell
    simulated: Cell
    real: Cell
    change: Change
    gap: Change
    rtfx: float | None = None
    unranked: str = ""
    parameters: int | None = None
    hardware: str = ""

    def cell(self, domain: Domain) -> Cell:
        """The model's cell in a domain."""
        cell: Cell = getattr(self, domain)
        return cell


@dataclass(frozen=True)
class Flip(Record):
    """Two models whose order on synthetic data turns round in `domain`.

    `clear` is True when neither order is a statistical tie.
    """

    ahead_on_synthetic: str
    ahead_in_domain: str
    domain: Domain
    clear: bool


@dataclass(frozen=True)
class SliceCell(Record):
    """One model in a domain, over the clips of one group of a slice.

    `value` is the unweighted mean over those of the domain's datasets in which the model was scored
    on clips of this group; `datasets` counts them. `scored` and `clusters` count clips and their
    clusters. `faint` is True under 20 clips: too few to build on.
    """

    slice: str
    group: str
    fingerprint: str
    domain: Domain
    value: float | None
    interval: Interval | None
    scored: int
    clusters: int
    faint: bool
    datasets: int = 1


@dataclass(frozen=True)
class Agreement(Record):
    """How far a domain ranks the models as synthetic data do: Kendall's tau-b, Spearman's rho.

    Both are 1 for the same order, -1 for the reverse, None where one side puts nothing in order.
    `models` counts those ranked in both. Intervals are given from 5 models on; `note` says why
    there are none.
    """

    domain: Domain
    models: int
    tau: Estimate
    rho: Estimate
    note: str = ""


@dataclass(frozen=True)
class Duel(Record):
    """Two models (fingerprints) on the clips of a domain that both were scored on.

    `value` is `one` minus `other` in the metric's own unit, None where a dataset has no clip in
    common. `wins`, `losses` and `equal` count the clips on which `one` was better, worse, the same.
    `deciding` are the clips that move `value` most, at most 3 for either side: dataset, key,
    and the difference (one minus other) of the clip's values.
    """

    one: str
    other: str
    domain: Domain
    value: float | None
    interval: Interval | None
    wins: int
    losses: int
    equal: int
    deciding: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True)
class Moment(Record):
    """An earlier evaluation: when (ISO 8601, UTC), its run, and the values that it found.

    `values` are by `comparison|model|fingerprint|domain`, in the metric's own unit: a model is
    followed by its name when its fingerprint changes.
    """

    when: str
    run: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table(Record):
    """Words and numbers beside a section's own table, as they are to be shown: texts alone.

    `long` ones are for the page; a terminal leaves them out.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    long: bool = False

    def __post_init__(self) -> None:
        """Refuse rows that do not fit the columns."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}: expected {len(self.columns)} cells in every row, found "
                    f"{len(row)}"
                )


@dataclass(frozen=True)
class Measure(Record):
    """The one metric of a comparison: how it is named and shown, and its whole spec."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    scale: float
    summary: str
    hash: str
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Truth(Record):
    """A model's true value in a domain, beside which its blind one stands."""

    fingerprint: str
    cell: Cell


@dataclass(frozen=True)
class BlindError(Record):
    """How far guesses on a dataset are from the truth, over the clips that have both.

    `fingerprint` is the model's, '' for all models together. `truth` and `guess` are means,
    `deviation` that of the truth over clips, `mae` and `bias` (guess less truth) mean differences,
    all in the metric's own unit. `pearson` is None under 3 clips and where a side never varies.
    `covered` is the share of the estimator's `intervals`, one a signal, that hold the truth, None
    without any.
    """

    fingerprint: str
    dataset: str
    domain: Domain
    clips: int
    truth: float
    guess: float
    deviation: float
    mae: float
    bias: float
    pearson: float | None
    covered: float | None
    intervals: int


@dataclass(frozen=True)
class BlindOrder(Record):
    """How far guesses rank the models as the truth does in a domain: Kendall's tau-b, or None."""

    domain: Domain
    models: int
    tau: float | None


@dataclass(frozen=True)
class Foreign(Record):
    """How many of a model's judged clips on a dataset lie outside what the estimator learnt from.

    `clips` counts those of which it says so or not; a clip lies outside with any of its signals.
    """

    fingerprint: str
    dataset: str
    domain: Domain
    clips: int
    outside: int

    @property
    def share(self) -> float:
        """The share outside, 0 to 1."""
        return self.outside / self.clips


@dataclass(frozen=True)
class Calibration(Record):
    """How far a blind metric can be trusted, as measured here and by the estimator's maker.

    `truth` names what is guessed. `errors` are dataset by dataset, all models together first.
    `curve` holds, for ten equal bins of all guesses with a truth, the mean guess, the mean truth
    and the number of clips. `card` is as in `Blind`.
    """

    estimator: str
    truth: str
    truths: tuple[Truth, ...] = ()
    errors: tuple[BlindError, ...] = ()
    orders: tuple[BlindOrder, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    curve: tuple[tuple[float, float, int], ...] = ()
    card: Mapping[str, Any] | None = None

    def true(self, fingerprint: str, domain: Domain) -> Cell | None:
        """A model's true cell in a domain; None where no clip has a truth."""
        found = ((truth.fingerprint, truth.cell) for truth in self.truths)
        return next((c for name, c in found if (name, c.domain) == (fingerprint, domain)), None)

    def known(self) -> tuple[Domain, ...]:
        """The domains in which some model has a true value."""
        return tuple(d for d in DOMAINS if any(t.cell.domain == d for t in self.truths))


@dataclass(frozen=True)
class Section(Record):
    """A comparison with its answer; `findings` are the main results, a sentence each.

    `slices` are in the order of rules, groups, domains and rows; `duels` set neighbours in the
    headline's ranking side by side. `calibration` says how a blind metric compares with its truth,
    None where the metric is not blind. `tables` are what else a task has to say.
    """

    comparison: Comparison
    measure: Measure
    rows: tuple[Row, ...]
    flips: tuple[Flip, ...]
    headline: Domain
    findings: tuple[str, ...] = ()
    slices: tuple[SliceCell, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    duels: tuple[Duel, ...] = ()
    calibration: Calibration | None = None
    tables: tuple[Table, ...] = ()

    @property
    def finding(self) -> str:
        """The main results as one paragraph."""
        return " ".join(self.findings)

    def shown(self) -> tuple[Domain, ...]:
        """The domains that this comparison has datasets for."""
        return tuple(domain for domain in DOMAINS if self.comparison.datasets(domain))


@dataclass(frozen=True)
class Board(Record):
    """All comparisons of an evaluation, and what is needed to trust or repeat them.

    `history` are earlier evaluations of the same board, oldest first.
    """

    title: str
    sections: tuple[Section, ...]
    datasets: tuple[DatasetInfo, ...] = ()
    tolerated_failures: float = 0.0
    suite_digest: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Moment, ...] = ()


def _one_of(name: str, found: str, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}, found {found!r}")


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in sorted({*one, *other})}
