"""What every page shares: one self-contained HTML file, no script, no network, no external font.

Jinja2 escapes every string that is shown; only the charts, which vl-convert escapes itself, and the
embedded JSON, whose `<`, `>` and `&` are written as escapes, are put in as they are. A content
security policy in the page forbids loading or running anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent / "templates"


def render(
    template: str,
    *,
    title: str,
    brand: str,
    lede: str,
    places: Sequence[tuple[str, str]],
    data: dict[str, Any],
    **shown: Any,
) -> str:
    """The page of a template (`board`, `dataset`) as text.

    `places`: id and title of what the page's own menu leads to. `data`: the JSON object that is
    embedded. `shown`: whatever else the template names.
    """
    style = "".join(_styles(template))
    found = _environment().get_template(f"{template}.html.j2")
    return found.render(
        title=title,
        brand=brand,
        lede=lede,
        places=places,
        kind=template,
        css=Markup(style),
        data=_embedded(data),
        **shown,
    )


def _styles(template: str) -> list[str]:
    """The shared style sheet, then the template's own where it has one."""
    files = (HERE / "layout.css", HERE / f"{template}.css")
    return [file.read_text(encoding="utf-8") for file in files if file.is_file()]


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _embedded(data: dict[str, Any]) -> Markup:
    """JSON that cannot close its own script element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}))
