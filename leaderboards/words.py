"""How numbers and names are put into words: one vocabulary for terminal, page and tracking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from leaderboards.records import (
    Agreement,
    BlindError,
    BlindOrder,
    Calibration,
    Change,
    Domain,
    Duel,
    Flip,
    Foreign,
    Measure,
    Role,
    Row,
    Section,
)
from metrics.agreement import FEWEST_MODELS
from metrics.intervals import Interval

NOTHING = "–"
ADD_REAL = "add --real FOLDER"
TITLES: Mapping[Domain, str] = {
    "synthetic": "Synthetic",
    "simulated": "Simulated",
    "real": "Real",
}
PLACES: Mapping[Domain, str] = {
    "synthetic": "on synthetic data",
    "simulated": "in simulated rooms and noise",
    "real": "on real recordings",
}
ROLE_MARKS: Mapping[Role, str] = {"model": "", "baseline": "baseline", "oracle": "oracle"}
MOST_TOLD = 10  # turns, and cells with failed clips, that are told one by one
ORDINARY = 0.1  # share of clips that an estimator may call foreign though they are not
_DECIMALS = {"%": 1, "dB": 1, "MOS": 2}
_MINUS = str.maketrans("-", "−")


def decimals(measure: Measure) -> int:
    """Decimals that a value of this unit is shown with: %, dB 1; MOS 2; others 3."""
    return _DECIMALS.get(measure.unit, 3)


def number(measure: Measure, value: float | None) -> str:
    """A raw value as it is shown, without its unit: 0.2671 of a % metric is `26.7`."""
    if value is None:
        return NOTHING
    return _clean(f"{value * measure.scale:.{decimals(measure)}f}")


def signed(measure: Measure, value: float | None) -> str:
    """A raw difference with its sign: `+12.3`, `−0.4`, and `0.0` where it rounds to nothing."""
    if value is None:
        return NOTHING
    return _clean(f"{value * measure.scale:+.{decimals(measure)}f}")


def span(measure: Measure, interval: Interval | None, *, form: str = "[{}, {}]") -> str:
    """The interval as `[24.1, 29.3]`, `~[…]` when it is a rough one, '' without one."""
    if interval is None:
        return ""
    shown = form.format(number(measure, interval.low), number(measure, interval.high))
    return f"~{shown}" if interval.method == "t" else shown


def amount(measure: Measure, value: float | None) -> str:
    """A value with its unit: `26.7 %`, `12.4 dB`, `2.31`."""
    return _with(number(measure, value), "" if measure.unit == "MOS" else measure.unit)


def loss(measure: Measure, value: float) -> str:
    """The size of a difference with its unit: percentages differ by points."""
    unit = {"%": "points", "MOS": "MOS"}.get(measure.unit, measure.unit)
    return _with(number(measure, abs(value)), unit)


def heading(measure: Measure) -> str:
    """The metric with unit and direction: `Word error rate, %, ↓ lower is better`."""
    better = "↑ higher is better" if measure.higher_is_better else "↓ lower is better"
    return ", ".join(part for part in (measure.title, measure.unit, better) if part)


def difference(measure: Measure, domain: Domain) -> tuple[str, str]:
    """A difference column's name and its arithmetic, written so that positive is worse.

    Where lower is better that is `real − synthetic`, where higher is better the reverse.
    """
    sides = [domain, "synthetic"]
    if measure.higher_is_better:
        sides.reverse()
    return ("Gap" if domain == "real" else "Change"), " − ".join(sides)


def joined(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def reasons(counted: Mapping[str, int]) -> str:
    """`silent_estimate 2, too_short 1`, in the order of the reasons; '' when empty."""
    return ", ".join(f"{reason} {counted[reason]:,}" for reason in sorted(counted))


def duration(seconds: float) -> str:
    """`48 s`, `12.5 min`, `3.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def names(rows: Sequence[Row]) -> dict[str, str]:
    """A name for every fingerprint; where two rows share a name, the fingerprint is added."""
    counted = [row.model for row in rows]
    return {
        row.fingerprint: row.model
        if counted.count(row.model) == 1
        else f"{row.model} ({row.fingerprint})"
        for row in rows
    }


def place(row: Row, domain: Domain) -> str:
    """`2`, `2≈` when tied with a neighbour, `2?` when that cannot be told, '' when unranked."""
    cell = row.cell(domain)
    if cell.rank is None:
        return ""
    return f"{cell.rank}{'≈' if cell.tied_with else '?' if cell.tie_unknown else ''}"


def notes(section: Section) -> list[str]:
    """What the finding does not tell: where the ranking is from, further flips, failed clips."""
    few = [found for found in section.agreements if found.models < FEWEST_MODELS]
    order, *rest = _conditions(section)
    told = [order, *(agreement(found) for found in few), *turns(section), *rest]
    return [note for note in told if note]


def conditions(section: Section) -> list[str]:
    """What the values rest on: where the ranking is from, mixed specs, failed clips, idle rules."""
    return [note for note in _conditions(section) if note]


def turns(section: Section) -> list[str]:
    """The flips that the finding does not tell, the clear ones first, not all one by one."""
    told = next((flip for flip in section.flips if flip.clear), None)
    others = [flip for flip in section.flips if flip is not told]
    found = [
        f"{flip.ahead_on_synthetic} is ahead of {flip.ahead_in_domain} on synthetic data, behind "
        f"it {PLACES[flip.domain]}{'' if flip.clear else ' (may be chance)'}."
        for flip in sorted(others, key=lambda flip: not flip.clear)[:MOST_TOLD]
    ]
    if len(others) > MOST_TOLD:
        found.append(f"{len(others) - MOST_TOLD:,} more pairs change places.")
    return found


def _conditions(section: Section) -> list[str]:
    ranked = [row for row in section.rows if row.cell(section.headline).rank]
    order = f"Ranked {PLACES[section.headline]}." if len(ranked) > 1 else ""
    called = names(section.rows)
    failed = [
        f"{called[row.fingerprint]}, {cell.dataset}: {cell.counts.n_failed:,} of "
        f"{cell.counts.total:,} clips failed ({reasons(cell.counts.failed)})."
        for row in section.rows
        for domain in section.shown()
        for cell in row.cell(domain).datasets
        if cell.counts.n_failed
    ]
    if len(failed) > MOST_TOLD:
        more = len(failed) - MOST_TOLD
        failed[MOST_TOLD:] = [f"{more:,} more results have failed clips: the tables count them."]
    mixed = "Scored by different metric specs, set side by side as asked: differences may be the "
    asked = f"{mixed}metric's own." if section.comparison.mixed else ""
    blind = [_card(section.calibration), *_trust_beyond(section), *_foreign(section)]
    return [order, *blind, asked, *failed, *_unsliced(section)]


def findings(section: Section) -> tuple[str, ...]:
    """The main results, a sentence each, computed from the section and nothing else."""
    competing = [row for row in section.rows if not row.unranked]
    models = [row for row in competing if row.role == "model"] or competing
    parts = [_leader(section, competing), *_trust(section)]
    parts += [_average(section, models, domain) for domain in ("real", "simulated")]
    parts += [_flips(section.flips)]
    parts += [agreement(a) for a in section.agreements if a.models >= FEWEST_MODELS]
    parts += [_worst_slice(section)]
    if not section.comparison.real:
        parts.append(f"Real life is not measured here yet: {ADD_REAL}.")
    return tuple(part for part in parts if part)


def _trust(section: Section) -> Iterator[str]:
    """Where a blind metric's values are foreign, whose they are, and how far they are off."""
    found, title = section.calibration, section.measure.title
    if found is None:
        return
    yield from _beware(found)
    told = f"{title} is a guess by {found.estimator}"
    nearest = [error for error in found.errors if error.domain == "synthetic"] or found.errors
    if not nearest:
        yield f"{told}; no clip here comes with the true {found.truth} to check it by."
    else:
        yield f"{told}: {blind_error(section.measure, nearest[0])}."
    yield from (_blind_order(order) for order in found.orders if order.domain == "synthetic")


def _beware(found: Calibration) -> Iterator[str]:
    """The datasets of which more than a tenth is foreign, all models together."""
    for dataset in dict.fromkeys(each.dataset for each in found.foreign):
        of = [each for each in found.foreign if each.dataset == dataset]
        clips, outside = sum(each.clips for each in of), sum(each.outside for each in of)
        if outside > ORDINARY * clips:
            yield (
                f"Beware: {outside:,} of {clips:,} judged clips of {dataset} are unlike what "
                f"{found.estimator} was trained on, and their blind values are not to be relied on."
            )


def share(value: float) -> str:
    """A share as whole per cent: `87 %`."""
    return f"{100 * value:.0f} %"


def _card(found: Calibration | None) -> str:
    """What an estimator's maker measured, if its card says so."""
    card = (found.card or {}) if found else {}
    told = {"bias_db": "bias {:+.1f}", "pearson": "r {:.2f}", "clips": "{:,} clips"}
    facts = [text.format(card[name]) for name, text in told.items() if _is_number(card.get(name))]
    if found is None or not _is_number(card.get("mae_db")):
        return ""
    beside = f" ({', '.join(facts)})" if facts else ""
    off = _clean(f"{card['mae_db']:.1f} dB on average{beside}")
    return f"Where it was calibrated, {found.estimator} is off by {off}."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _trust_beyond(section: Section) -> Iterator[str]:
    """How far guesses are off on every other dataset with a truth, and how they rank there."""
    found = section.calibration
    if found is None:
        return
    whole = [error for error in found.errors if not error.fingerprint]
    nearest = [error for error in whole if error.domain == "synthetic"] or whole
    for error in whole:
        if error is not nearest[0]:
            yield f"The estimator is {blind_error(section.measure, error)}."
    yield from (_blind_order(order) for order in found.orders if order.domain != "synthetic")


def blind_error(measure: Measure, error: BlindError) -> str:
    """How far guesses are from the truth: `off by 1.2 dB on average on pairs (bias +0.3, …)`."""
    facts = [f"bias {signed(measure, error.bias)}"]
    facts += [] if error.pearson is None else [f"r {correlation(error.pearson)}"]
    if error.covered is not None:
        facts.append(f"{share(error.covered)} of its 90 % intervals hold the truth")
    facts.append(f"{error.clips:,} clips")
    return f"off by {amount(measure, error.mae)} on average on {error.dataset} ({', '.join(facts)})"


def _blind_order(found: BlindOrder) -> str:
    if found.tau is None:
        return ""
    how = "as the truth does" if found.tau == 1.0 else "otherwise than the truth does"
    return (
        f"Guesses rank {found.models} models {PLACES[found.domain]} {how}: Kendall's tau "
        f"{correlation(found.tau)}."
    )


def foreign(found: Foreign, section: Section, calibration: Calibration) -> str:
    """How many of a model's clips on a dataset an estimator knows nothing like."""
    model = names(section.rows)[found.fingerprint]
    counted = f"{found.outside:,} of {found.clips:,} clips ({share(found.share)})"
    return (
        f"{model}, {found.dataset}: {counted} are unlike what {calibration.estimator} was trained "
        "on."
    )


def _foreign(section: Section) -> list[str]:
    """The models and datasets of which more than a tenth is foreign, the worst first."""
    found = section.calibration
    some = [each for each in found.foreign if each.share > ORDINARY] if found else []
    told = [
        foreign(each, section, found)
        for each in sorted(some, key=lambda each: -each.share)[:MOST_TOLD]
        if found
    ]
    if len(some) > MOST_TOLD:
        told.append(f"{len(some) - MOST_TOLD:,} more results are as foreign to the estimator.")
    return told


def _leader(section: Section, rows: Sequence[Row]) -> str:
    domain, measure, called = section.headline, section.measure, names(section.rows)
    order = sorted((row for row in rows if row.cell(domain).rank), key=lambda r: _rank(r, domain))
    if not order:
        return f"No model could be ranked {PLACES[domain]}."
    first = order[0]
    value = amount(measure, first.cell(domain).value)
    if len(order) == 1:
        return f"{called[first.fingerprint]} reaches {value} {PLACES[domain]}."
    tied = first.cell(domain).tied_with
    if tied:
        return (
            f"{joined([called[first.fingerprint], *tied])} share the first place "
            f"{PLACES[domain]}: their difference may be chance."
        )
    doubt = first.cell(domain).tie_unknown
    unsure = ", though too few speakers were heard to be sure of the order" if doubt else ""
    return f"{called[first.fingerprint]} comes first {PLACES[domain]} with {value}{unsure}."


def _average(section: Section, rows: Sequence[Row], domain: Domain) -> str:
    measure, called = section.measure, names(section.rows)
    found = [(value, row) for row in rows if (value := _change(row, domain).value) is not None]
    if not found:
        return ""
    if len(found) == 1:
        return _one(measure, called[found[0][1].fingerprint], _change(found[0][1], domain), domain)
    mean = sum(value for value, _ in found) / len(found)
    (least, low), (most, high) = min(found, key=_first), max(found, key=_first)
    return (
        f"On average the {len(found)} models {'lose' if mean >= 0 else 'gain'} "
        f"{loss(measure, mean)} {PLACES[domain]}, from {signed(measure, least)} "
        f"({called[low.fingerprint]}) to {signed(measure, most)} ({called[high.fingerprint]})"
        f"{_sureness([_change(row, domain) for _, row in found])}."
    )


def _one(measure: Measure, name: str, change: Change, domain: Domain) -> str:
    value = change.value or 0.0
    verb = "loses" if value >= 0 else "gains"
    said = f"{name} {verb} {loss(measure, value)} {PLACES[domain]}"
    if change.interval is None:
        return f"{said}; too few speakers for an interval."
    shown = span(measure, change.interval)
    if change.interval.low <= 0 <= change.interval.high:
        return f"{said}, which may be chance: the interval {shown} includes no change."
    return f"{said} {shown}."


def _sureness(changes: Sequence[Change]) -> str:
    intervals = [change.interval for change in changes]
    known = [interval for interval in intervals if interval is not None]
    if not known:
        return "; too few speakers for intervals"
    clear = sum(not interval.low <= 0 <= interval.high for interval in known)
    if clear == len(intervals):
        return ", each beyond chance"
    return f", beyond chance for {clear} of {len(intervals)}"


def _flips(flips: Sequence[Flip]) -> str:
    clear = [flip for flip in flips if flip.clear]
    if clear:
        flip = clear[0]
        more = f", and {len(clear) - 1} more such turns" if len(clear) > 1 else ""
        return (
            f"The order turns: {flip.ahead_on_synthetic} is ahead of {flip.ahead_in_domain} "
            f"on synthetic data, behind it {PLACES[flip.domain]}{more}."
        )
    return ""


def agreement(found: Agreement) -> str:
    """How far the order on synthetic data is that of a domain, with tau, rho and intervals."""
    tau, rho = found.tau, found.rho
    if tau.value is None or rho.value is None:
        return ""
    figures = ", ".join(
        f"{name} {correlation(one.value)}{_between(one.interval)}"
        for name, one in (("Kendall's tau", tau), ("Spearman's rho", rho))
    )
    note = f"; {found.note}" if found.note else ""
    return (
        f"The order of {found.models} models on synthetic data {_likeness(tau.value)} "
        f"{PLACES[found.domain]}: {figures}{note}."
    )


def correlation(value: float | None) -> str:
    """A rank correlation: `0.87`, `−0.20`, `1.00`."""
    return NOTHING if value is None else _clean(f"{value:.2f}")


def duel(measure: Measure, found: Duel, called: Mapping[str, str]) -> str:
    """Two models side by side, in a sentence; `called` are names by fingerprint."""
    one, other = called[found.one], called[found.other]
    if found.value is None:
        return f"{one} and {other} have no clips to be compared on {PLACES[found.domain]}."
    spread = span(measure, found.interval)
    shown = " ".join(part for part in (signed(measure, found.value), spread) if part)
    return (
        f"{one} minus {other} {PLACES[found.domain]}: {shown}; better on {found.wins:,} clips, "
        f"worse on {found.losses:,}, equal on {found.equal:,}."
    )


def _likeness(tau: float) -> str:
    if tau >= 0.8:
        return "is nearly that" if tau < 1.0 else "is that"
    if tau >= 0.4:
        return "is partly that"
    return "says little of that" if tau > -0.4 else "is rather the reverse of that"


def _between(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f" [{correlation(interval.low)}, {correlation(interval.high)}]"


def _worst_slice(section: Section) -> str:
    """The first model's worst group in the headline's domain, if its interval leaves out the whole.

    The worst of many groups is chosen: that the interval excludes the overall value is a hint.
    """
    domain, measure = section.headline, section.measure
    first = next((row for row in section.rows if row.cell(domain).rank == 1), None)
    if first is None or (whole := first.cell(domain).value) is None:
        return ""
    sign = 1.0 if measure.higher_is_better else -1.0
    apart = [
        (sign * (cell.value - whole), cell)
        for cell in section.slices
        if cell.fingerprint == first.fingerprint
        and cell.domain == domain
        and not cell.faint
        and cell.value is not None
        and cell.interval is not None
        and not cell.interval.low <= whole <= cell.interval.high
    ]
    worse = [found for found in apart if found[0] < 0.0]
    if not worse:
        return ""
    cell = min(worse, key=lambda found: found[0])[1]
    return (
        f"{names(section.rows)[first.fingerprint]} is weakest {PLACES[domain]} where {cell.slice} "
        f"is {cell.group}: {amount(measure, cell.value)} {span(measure, cell.interval)} over "
        f"{cell.scored:,} clips."
    )


def _unsliced(section: Section) -> list[str]:
    """The rules that cut nothing, because no clip has their column."""
    found = {cell.slice for cell in section.slices}
    return [
        f"No clip says {rule.name} ({rule.column}): it is not cut by that."
        for rule in section.comparison.slices
        if rule.name not in found
    ]


def _change(row: Row, domain: Domain) -> Change:
    return row.gap if domain == "real" else row.change


def _rank(row: Row, domain: Domain) -> int:
    return row.cell(domain).rank or 0


def _first(pair: tuple[float, Row]) -> float:
    return pair[0]


def _with(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text


def _clean(text: str) -> str:
    if not text.strip("+-0."):
        return text.lstrip("+-")
    return text.translate(_MINUS)
