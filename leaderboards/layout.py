"""What every page shares: its frame and its style, no network, no external font.

Jinja2 escapes every string that is shown; only the charts, which vl-convert escapes itself, and the
embedded JSON, whose `<`, `>` and `&` are written as escapes, are put in as they are. A content
security policy in the page forbids loading anything from elsewhere.
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
    data: dict[str, Any] | None = None,
    **shown: Any,
) -> str:
    """The page of a template (`board`, `dataset`) as text.

    `places`: id and title of what the page's own menu leads to. `data`: a JSON object to embed.
    `shown`: whatever else the template names.
    """
    found = _environment().get_template(f"{template}.html.j2")
    return found.render(
        title=title,
        brand=brand,
        lede=lede,
        places=places,
        kind=template,
        css=Markup(style(template)),
        data=None if data is None else _embedded(data),
        **shown,
    )


def style(template: str) -> str:
    """The shared style sheet, then the template's own."""
    files = (HERE / "layout.css", HERE / f"{template}.css")
    return "".join(file.read_text(encoding="utf-8") for file in files)


def script(template: str) -> str:
    """The template's scripts in the order of their names, as one."""
    files = sorted(HERE.glob(f"{template}-*.js"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


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
