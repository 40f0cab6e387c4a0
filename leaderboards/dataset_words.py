"""How a description of a dataset is put into words, for the page and for the terminal alike."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboards import words
from leaderboards.description import Description, Histogram, Label, Quantity, Refusal

TITLES: Mapping[str, str] = {
    "seconds": "Length",
    "loudness_lufs": "Loudness",
    "rms_dbfs": "Level",
    "peak_dbfs": "Peak",
    "bandwidth_hz": "Bandwidth",
    "silence": "Silence",
    "clipping": "Clipping",
    "dc": "DC offset",
    "speaker_clips": "Clips a speaker",
    "speaker_seconds": "Audio a speaker",
    "session_clips": "Clips a session",
    "session_seconds": "Audio a session",
}
MEANINGS: Mapping[str, str] = {
    "seconds": "how long clips are",
    "loudness_lufs": "as heard, by ITU-R BS.1770",
    "rms_dbfs": "RMS of all samples",
    "peak_dbfs": "highest sample",
    "bandwidth_hz": "highest frequency that holds anything",
    "silence": "share of the time",
    "clipping": "share of the samples",
    "dc": "mean sample, of full scale",
    "speaker_seconds": "how it is spread over speakers",
    "session_seconds": "how it is spread over sessions",
}
TABULATED = tuple(TITLES)[:8]  # what is measured of each clip
CROWD = 12  # speakers from which their histogram says more than their names
LOUD = 0.9  # share of clips that need a loudness for it to be pictured; else their level is
LONGEST = 96  # characters shown of a value
_DECIMALS = {"clips": 0, "%": 1, "dBFS": 1, "LUFS": 1, "kHz": 1, "s": 2, "min": 2, "h": 2}
_BIDIRECTIONAL = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_MINUS = str.maketrans("-", "−")


@dataclass(frozen=True)
class Fact:
    """A line of the overview: what, how much, and a small remark."""

    title: str
    text: str
    small: str = ""


def safe(text: str, most: int = LONGEST) -> str:
    """Text of others as one line to show: no control sign reaches a terminal or turns the line
    round, and what is longer than `most` characters ends in an ellipsis.
    """
    kept = "".join(_sign(sign) for sign in text[: most + 1])
    return f"{kept[:most].rstrip()}…" if len(text) > most else kept


def _sign(sign: str) -> str:
    if sign.isspace():
        return " "
    hidden = unicodedata.category(sign) in {"Cc", "Cs", "Co", "Cn"} or sign in _BIDIRECTIONAL
    return "\ufffd" if hidden else sign


def pretty(value: Any) -> str:
    """A JSON value over several lines, with no sign that would turn a line round."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in _BIDIRECTIONAL})


def figure(value: float, unit: str, *, decimals: int | None = None) -> str:
    """A number without its unit; zero has no decimals and no sign."""
    places = _DECIMALS.get(unit, 2) if decimals is None else decimals
    text = f"{value:,.{places}f}"
    return text.translate(_MINUS) if text.strip("-0.,") else "0"


def edge(value: float, histogram: Histogram) -> str:
    """An edge of a histogram, with the decimals that its bins need."""
    width = (histogram.edges[-1] - histogram.edges[0]) / len(histogram.counts)
    text = f"{value:,.{max(0, math.ceil(-math.log10(width) - 1e-9))}f}"
    return text.translate(_MINUS)


def amount(value: float, unit: str) -> str:
    """A number with its unit: `0.41 s`, `−23.1 LUFS`, `500 clips`."""
    return f"{figure(value, unit)} {unit}"


def share(count: int, total: int) -> str:
    """A percentage that says 0 % and 100 % of none and of all only."""
    if not total or not count:
        return "0 %"
    if count == total:
        return "100 %"
    percent = 100 * count / total
    if percent < 0.1:
        return "<0.1 %"
    return ">99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def clips(count: int) -> str:
    """`1 clip`, `2,000 clips`."""
    return many(count, "clip")


def many(count: int, noun: str) -> str:
    """`1 shard`, `16 shards`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """The text with a capital to begin with."""
    return text[:1].upper() + text[1:]


def lede(found: Description) -> str:
    """The dataset in a sentence."""
    kind = words.TITLES[found.domain].lower()
    if not found.clips:
        return f"A {kind} dataset without any clip."
    speakers = found.label("speaker")
    by = f" by {many(speakers.values, 'speaker')}" if speakers else ""
    lasting = words.duration(found.seconds)
    return f"{found.clips:,} {kind} clip{'s' * (found.clips != 1)}{by}: {lasting} of audio."


def overview(found: Description) -> list[Fact]:
    """What one wants to know first, six lines."""
    rates = [(f"{rate / 1000:g} kHz", count) for rate, count in found.sample_rates]
    lasting = found.find("seconds")
    ends = f"{_range(lasting.least, lasting.most, lasting.unit)} {lasting.unit}" if lasting else ""
    refused = sum(reason.clips for reason in found.refused)
    return [
        Fact("Audio", words.duration(found.seconds), size(found.size)),
        Fact("Clips", f"{found.clips:,}", many(found.shards, "shard")),
        _speakers(found),
        Fact("Sample rate", *_mixed(rates, found.clips, _channels(found))),
        Fact("Median length", amount(lasting.median, lasting.unit) if lasting else "–", ends),
        Fact("Refused", f"{refused:,}" if refused else "none", _tried(refused, found.clips)),
    ]


def _speakers(found: Description) -> Fact:
    named, each = found.label("speaker"), found.find("speaker_clips")
    if named is None or each is None:
        return Fact("Speakers", "–", "no clip names one")
    return Fact(
        "Speakers", f"{named.values:,}", f"{_range(each.least, each.most, 'clips')} clips each"
    )


def _range(least: float, most: float, unit: str) -> str:
    low, high = figure(least, unit), figure(most, unit)
    return low if low == high else f"{low} to {high}"


def _tried(refused: int, made: int) -> str:
    if not refused:
        return "every clip could be used"
    return f"{share(refused, refused + made)} of {refused + made:,}"


def _mixed(found: Sequence[tuple[str, int]], clips: int, small: str) -> tuple[str, str]:
    """The one value, or the most frequent with all of them beneath."""
    if not found:
        return "–", small
    if len(found) == 1:
        return found[0][0], small
    every = ", ".join(f"{value} {share(count, clips)}" for value, count in found)
    return f"mostly {found[0][0]}", f"{every}; {small}"


def _channels(found: Description) -> str:
    named = {1: "mono", 2: "stereo"}
    kinds = [(named.get(n, f"{n} channels"), count) for n, count in found.channels]
    if len(kinds) < 2:
        return "".join(kind for kind, _ in kinds)
    return ", ".join(f"{kind} {share(count, found.clips)}" for kind, count in kinds)


def size(count: float) -> str:
    """Bytes as `15.2 MB`; powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}" if count >= 100 or unit == "bytes" else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:,.1f} TB"


def particulars(found: Description) -> list[Fact]:
    """What else the card and the index say, a line each."""
    hand = "yes" if found.redistribute else "the card does not say so"
    return [
        Fact("Domain", words.TITLES[found.domain].lower()),
        Fact("Licence", safe(found.licence) or "unknown"),
        Fact("May be handed on", hand),
        Fact("Language", safe(found.language) or "not stated"),
        Fact("Sessions", _sessions(found)),
        Fact("Separate sources", f"up to {found.sources} a clip" if found.sources else "none"),
        Fact("Words", _words(found)),
        Fact("Clipping", _clipping(found)),
        Fact("Silence", _silence(found)),
        Fact("Duplicates", duplicates(found)),
    ]


def _sessions(found: Description) -> str:
    named, each = found.label("session"), found.find("session_clips")
    if named is None or each is None:
        return "none named"
    return f"{named.values:,}, of {_range(each.least, each.most, 'clips')} clips"


def _words(found: Description) -> str:
    count, different = found.words
    return f"{count:,}, of which {different:,} different" if count else "no transcripts"


def _clipping(found: Description) -> str:
    measured = found.find("clipping")
    if measured is None:
        return "not measured"
    if not found.clipping:
        text = "in no clip"
    else:
        text = f"in {clips(found.clipping)} ({share(found.clipping, measured.count)}), at most "
        text += f"{figure(measured.most, '%', decimals=2)} % of the samples of one"
    cut = (
        f"; {clips(found.cut)} went beyond full scale when stored, and were cut"
        if found.cut
        else ""
    )
    return text + cut


def _silence(found: Description) -> str:
    measured = found.find("silence")
    if measured is None:
        return "not measured"
    text = f"{figure(measured.median, '%')} % of the time in the median clip"
    silent = f"{clips(found.silent)} silent from end to end" if found.silent else ""
    return f"{text}; {silent}" if silent else text


def duplicates(found: Description) -> str:
    """How many clips another one repeats."""
    if not found.duplicates:
        return "no two clips sound exactly the same"
    verb = "sounds" if found.duplicates == 1 else "sound"
    percent = share(found.duplicates, found.clips)
    return f"{clips(found.duplicates)} ({percent}) {verb} exactly as another one"


def level(found: Description) -> str:
    """What tells loud from faint: the loudness or, where too few clips have one, the level."""
    loudness = found.find("loudness_lufs")
    enough = loudness is not None and loudness.count >= LOUD * loudness.total
    return "loudness_lufs" if enough else "rms_dbfs"


def pictured(found: Description) -> list[Quantity]:
    """The figures worth a histogram; speakers and sessions only where they are a crowd."""
    names = ("seconds", level(found), "bandwidth_hz", "silence")
    shown = [quantity for name in names if (quantity := found.find(name))]
    crowds = [found.find(f"{group}_seconds") for group in ("speaker", "session")]
    return shown + [crowd for crowd in crowds if crowd is not None and crowd.count >= CROWD]


def tabulated(found: Description) -> list[Quantity]:
    """The figures of the table, in its order."""
    groups = [f"{who}_{what}" for who in ("speaker", "session") for what in ("clips", "seconds")]
    return [quantity for name in (*TABULATED, *groups) if (quantity := found.find(name))]


def figures(quantity: Quantity) -> list[str]:
    """Least, 5 %, median, 95 % and most, without the unit."""
    decimals = 2 if quantity.name in {"clipping", "dc"} else None
    five = (quantity.least, quantity.low, quantity.median, quantity.high, quantity.most)
    return [figure(value, quantity.unit, decimals=decimals) for value in five]


def unit(quantity: Quantity) -> str:
    """The unit beside a figure's title; '' where the title says it."""
    return "" if quantity.unit == "clips" else quantity.unit


def remark(quantity: Quantity) -> str:
    """What the figure is and, where not all clips have it, how many do."""
    only = f"{quantity.count:,} of {clips(quantity.total)}"
    some = only if quantity.count < quantity.total else ""
    return "; ".join(part for part in (MEANINGS.get(quantity.name, ""), some) if part)


def spread(quantity: Quantity) -> str:
    """A histogram in a sentence."""
    low, high = figure(quantity.low, quantity.unit), figure(quantity.high, quantity.unit)
    most = f"lie between {low} and {high} {quantity.unit}" if low != high else "have the same"
    shown = f"Median {amount(quantity.median, quantity.unit)}; nine in ten {most}."
    return " ".join([shown, *_beyond(quantity), *_without(quantity)])


def _beyond(quantity: Quantity) -> list[str]:
    """What the picture leaves out."""
    drawn, least, most = quantity.histogram, quantity.least, quantity.most
    low = f"{drawn.below:,} below the picture, down to {amount(least, quantity.unit)}."
    high = f"{drawn.above:,} above the picture, up to {amount(most, quantity.unit)}."
    return [low] * bool(drawn.below) + [high] * bool(drawn.above)


def _without(quantity: Quantity) -> list[str]:
    none = quantity.total - quantity.count
    return [f"{clips(none)} {'has' if none == 1 else 'have'} none."] if none else []


def coverage(label: Label, total: int) -> str:
    """How many clips have a label, and how many values there are."""
    if not label.clips:
        return "no clip has it"
    if label.values == label.clips:
        values = "all different" if label.clips > 1 else "one value"
    else:
        values = f"{many(label.values, 'different value')}"
    return f"{share(label.clips, total)} of the clips, {values}"


def common(label: Label) -> list[tuple[str, int]]:
    """The most frequent values, safe to show: all where they are few, else those there twice."""
    few = label.values <= len(label.common) and label.values < max(label.clips, 2)
    shown = [(value, count) for value, count in label.common if few or count > 1]
    return [(safe(value) or "(empty)", count) for value, count in shown]


def rest(label: Label) -> str:
    """What the most frequent values leave out; '' where nothing."""
    shown = common(label)
    others = label.values - len(shown)
    if not shown or not others:
        return ""
    left = label.clips - sum(count for _, count in shown)
    return f"{many(others, 'other value')}: {clips(left)}"


def example(refusal: Refusal) -> str:
    """One refused clip and what was found of it; '' where none is known."""
    return ": ".join(part for part in (safe(refusal.key), safe(refusal.detail, 240)) if part)


def silence_about_sounds(found: Description) -> str:
    """Why there is nothing to listen to; '' where there is something."""
    if found.sounds or not found.clips:
        return ""
    if found.redistribute:
        return "None of the chosen clips can be played."
    return (
        "No clip is put into this page, since the dataset's card does not say that its recordings "
        "may be handed on. The option --with-audio puts a few in."
    )
