"""A description of a dataset as one self-contained HTML page, in the look of the boards."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from leaderboards import charts, examples, layout
from leaderboards import dataset_words as words
from leaderboards.description import Description, Label, Quantity, Sound

PLACES = [
    ("figures", "Figures"),
    ("said", "What is said of the clips"),
    ("refused", "Refused and repeated"),
    ("listen", "Listen"),
    ("provenance", "Provenance"),
]


def build_page(found: Description) -> str:
    """The whole page as text; the same description gives the same bytes.

    The caller guarantees that the audio of `found.sounds` may be handed on.
    """
    return layout.render(
        "dataset",
        title=words.safe(found.name),
        brand="RealEar dataset",
        lede=words.lede(found),
        places=PLACES,
        data=found.to_json(),
        found=found,
        overview=words.overview(found),
        particulars=words.particulars(found),
        pictures=[_picture(found, quantity) for quantity in words.pictured(found)],
        lines=[_line(quantity) for quantity in words.tabulated(found)],
        labels=[_label(found, label) for label in found.labels],
        sounds=[_sound(sound) for sound in found.sounds],
        silence=words.silence_about_sounds(found),
        made_by=words.pretty(found.made_by),
        digests=[(words.safe(name), words.safe(value)) for name, value in found.digests.items()],
        words=words,
    )


def _picture(found: Description, quantity: Quantity) -> dict[str, Any]:
    return {
        "title": words.TITLES[quantity.name],
        "small": words.MEANINGS[quantity.name],
        "chart": Markup(charts.histogram(quantity, f"var(--{found.domain})")),
        "spread": words.spread(quantity),
    }


def _line(quantity: Quantity) -> dict[str, Any]:
    names = ("least", "5 %", "median", "95 %", "most")
    return {
        "title": words.TITLES[quantity.name],
        "small": words.remark(quantity),
        "unit": words.unit(quantity),
        "values": list(zip(names, words.figures(quantity), strict=True)),
    }


def _label(found: Description, label: Label) -> dict[str, Any]:
    shown = words.common(label)
    most = max((count for _, count in shown), default=1)
    return {
        "name": words.safe(label.name),
        "coverage": words.coverage(label, found.clips),
        "values": [(value, f"{count:,}", f"{100 * count / most:.1f}%") for value, count in shown],
        "rest": words.rest(label),
    }


def _sound(sound: Sound) -> dict[str, Any]:
    known = (words.safe(sound.key), *sound.figures, words.safe(sound.speaker or ""))
    kinds = ", ".join(sound.kinds)
    return {
        "title": words.sentence(kinds),
        "known": [part for part in known if part],
        "text": words.safe(sound.text or "", 400),
        "cut": f"The first {sound.cut:g} s of it." if sound.cut is not None else "",
        "source": examples.source(sound.audio),
        "label": f"{kinds}: {words.safe(sound.key)}",
    }
