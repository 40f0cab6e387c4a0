"""The page as its users have it: a real Chromium on a page from a disk, with the network watched.

`$REALEAR_SCREENSHOTS` names a folder that keeps what was seen.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from leaderboards import details, site
from leaderboards.examples import Example, Media, Sound
from leaderboards.records import Board

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1440, 1000), (390, 844)
EVIL = "<script>document.title = 'taken'</script> <img src=x onerror=alert(1)>"
GRAVE = {"serious", "critical"}  # of axe's violations


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found)
        yield launched
        launched.close()


@dataclass
class Seen:
    """A page, and what it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def well(self, folder: Path) -> None:
        """Nothing on the console, nothing from outside of the page's folder."""
        assert self.said == []
        own = f"{folder.resolve().as_uri()}/"
        assert [each for each in self.asked if not each.startswith((own, "data:", "blob:"))] == []

    def keep(self, name: str) -> None:
        """A picture for people, where they want one."""
        if kept := os.environ.get("REALEAR_SCREENSHOTS"):
            self.page.screenshot(path=Path(kept) / f"{name}.png")


@pytest.fixture
def look(browser: Browser) -> Iterator:
    """Opens a folder's page: look(folder, size=…, scheme=…)."""
    opened: list[tuple[Seen, Path]] = []

    def go(folder: Path, size: tuple[int, int] = WIDE, scheme: str = "light") -> Seen:
        page = browser.new_page(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme,
            reduced_motion="reduce",
        )  # fmt: skip
        seen = Seen(page)
        page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.said.append(f"error: {error}"))
        page.on("request", lambda request: seen.asked.append(request.url))
        page.goto((folder / "index.html").resolve().as_uri())
        opened.append((seen, folder))
        return seen

    yield go
    for seen, folder in opened:
        seen.well(folder)
        seen.page.close()


@pytest.fixture(scope="module", params=["small", pytest.param("demo", marks=pytest.mark.slow)])
def folder(request, once, realear, doubles, evaluated, small) -> Path:
    """The page of the small suite, with slices and sounds, or the demo's."""

    def demo(workspace: Path) -> None:
        ended = realear("demo", "--out", workspace, "--workers", 1)
        assert ended.code == 0, ended.text

    def make(workspace: Path) -> None:
        shutil.copytree(evaluated, workspace, dirs_exist_ok=True)
        suite = copy.deepcopy(small)
        suite["comparisons"]["noise"]["slices"] = ["snr", "duration"]
        (workspace / "suite.yaml").write_text(json.dumps(suite))
        ended = realear("board", workspace / "suite.yaml", "--out", workspace, "--with-audio")
        assert ended.code == 0, ended.text

    if request.param == "demo":
        return once("demo", demo) / "site/demo"
    return once("looked-at", make) / "site/small"


def models(table) -> list[str]:
    return [
        text.split("\n")[0].strip() for text in table.locator("tbody th.model").all_inner_texts()
    ]


def noise(page: Page):
    """The section of the enhancers."""
    names = ("noise", "enhancement")
    return page.locator(
        ", ".join(f"section.comparison[data-comparison='{name}']" for name in names)
    )


def test_a_column_sorts_and_sorts_back(look, folder: Path) -> None:
    section = noise(look(folder).page)
    table = section.locator("table.main")
    first = models(table)
    assert len(first) >= 2
    button = table.locator("th.model .sort")
    button.click()
    ascending = models(table)
    assert ascending == sorted(ascending)
    expect(table.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    button.press("Enter")
    assert models(table) == ascending[::-1]


def test_a_slice_is_chosen_by_group_and_domain(look, folder: Path) -> None:
    seen = look(folder)
    section = noise(seen.page)
    section.locator("details[data-part=slices] summary").click()
    part = section.locator("details[data-part=slices]")
    expect(part.locator("select.slice option")).to_have_count(2)
    expect(part.locator(".plot svg")).to_be_visible()
    heads = part.locator("table thead th")
    before = heads.all_inner_texts()
    assert any("5" in text and "dB" in text for text in before)
    part.locator("select.slice").select_option(index=1)
    expect(heads.nth(1)).not_to_have_text(before[1])
    assert any("s" in text for text in heads.all_inner_texts()[1:])
    seen.keep("slices")


def test_a_cell_opens_with_its_clips_and_they_can_be_heard(look, folder: Path) -> None:
    seen = look(folder)
    noise(seen.page).locator("table.main a.cell").first.click()
    dialog = seen.page.locator("dialog#cell")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".plot svg")).to_be_visible()
    player = dialog.locator("audio").first
    player.scroll_into_view_if_needed()
    seconds = player.evaluate(
        "it => new Promise((done, failed) => {"
        " it.onerror = () => failed(new Error('not playable'));"
        " it.muted = true; it.ontimeupdate = () => it.currentTime > 0 && done(it.duration);"
        " it.play().catch(failed); })"
    )
    assert 0.5 < seconds <= 15
    picture = dialog.locator("figure img").first
    assert picture.evaluate("it => it.decode().then(() => it.naturalWidth)") == 640
    assert "realear" in dialog.locator("pre").inner_text()
    seen.keep("cell-1440")
    seen.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert "#cell" not in seen.page.url


def test_a_cell_has_an_address_of_its_own(look, folder: Path) -> None:
    page = look(folder).page
    address = noise(page).locator("table.main a.cell").first.get_attribute("href")
    page.goto(page.url.split("#")[0] + address)
    page.reload()
    expect(page.locator("dialog#cell")).to_be_visible()


def test_dark_mode_is_followed_and_chosen(look, folder: Path) -> None:
    page = look(folder, scheme="dark").page
    colour = "getComputedStyle(document.body).backgroundColor"
    button = page.locator("#scheme")
    expect(button).to_have_attribute("aria-pressed", "true")
    dark = page.evaluate(colour)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    light = page.evaluate(colour)
    lit, dim = (sum(map(int, text[4:-1].split(","))) for text in (light, dark))
    assert lit > 600 > 200 > dim


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light")])
def test_nobody_is_shut_out(look, folder: Path, size, scheme) -> None:
    """No serious violation by axe, folded parts unfolded and a cell open; nothing is cut off."""
    seen = look(folder, size, scheme)
    page = seen.page
    seen.keep(f"page-{size[0]}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for summary in page.locator("section.comparison details > summary").all():
        if summary.locator("..").get_attribute("open") is None:
            summary.click()
    expect(page.locator("details.late[open] .part:empty")).to_have_count(0)
    expect(noise(page).locator("details[data-part=slices] .plot svg")).to_be_visible()
    assert violations(page) == []
    page.evaluate("address => { window.location.hash = address; }",
                  noise(page).locator("table.main a.cell").first.get_attribute("href"))  # fmt: skip
    expect(page.locator("dialog#cell .plot svg")).to_be_visible()
    seen.keep(f"cell-{size[0]}-{scheme}")
    assert violations(page) == []


def violations(page: Page) -> list[str]:
    # Not preloaded: fetching the style sheet is what the page's own policy forbids.
    asked = {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, options=asked).response["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


def test_the_keyboard_reaches_charts_and_cells(look, folder: Path) -> None:
    page = look(folder).page
    table = noise(page).locator("table.main")
    link = table.locator("a.cell").first
    link.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog#cell")
    expect(dialog).to_be_visible()
    assert dialog.evaluate("it => it.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(link).to_be_focused()


def test_a_transcript_of_a_script_is_text(look, board: Board, tables, tmp_path: Path) -> None:
    first = board.sections[0].rows[0]
    (tmp_path / "media").mkdir()
    soundfile.write(tmp_path / "media/a.flac", np.zeros(8_000), 8_000)
    Image.new("RGB", (640, 160)).save(tmp_path / "media/a.png")
    sound = Sound("What the model heard", "media/a.flac", "media/a.png", EVIL)
    found = details.read(board, tables)
    key = found["reading", first.fingerprint, "street"].picks[0].key
    example = Example("reading", first.fingerprint, "street", key, (sound,), EVIL, f"{EVIL} b")
    site.write(board, tmp_path, details=found, media=Media((example,), {}, ""))
    page = look(tmp_path).page
    title = page.title()
    page.evaluate(f"window.location.hash = '#cell/reading/{first.fingerprint}/street'")
    dialog = page.locator("dialog#cell")
    expect(dialog.locator("article.clip").first).to_contain_text("<script>")
    assert page.title() == title
    assert dialog.locator("script").count() == 0
    assert dialog.locator("img[src=x]").count() == 0
