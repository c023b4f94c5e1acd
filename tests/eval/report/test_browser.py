"""The report in a real Chromium: nothing goes wrong, nothing is fetched, everything fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from mixdq.eval.report.make import make_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

PHONE, WIDE = 400, 1280
A4 = 703
"""Pixels between the margins of a printed page."""
_WORDS = "h1, h2, h3, h4, p, th, td, td span, dt, dd, a, summary, label, text"
_CONTRAST = """(words) => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = parts(colour).slice(0, 3).map((value) => value / 255)
            .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if ((parts(colour)[3] ?? 1) > 0) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const faint = [];
    for (const element of document.querySelectorAll(words)) {
        const style = getComputedStyle(element);
        const ink = element.tagName === "text" ? style.fill : style.color;
        const [a, b] = [light(ink), light(ground(element))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(`${element.tagName}.${element.className} ${ink}`);
    }
    return [...new Set(faint)];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses root, as which containers run.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def path(all_results: Path) -> Path:
    page, *_ = make_report([all_results], all_results.parent / "seen" / "report.html", "mixdq-eval report")
    return page


@pytest.fixture(params=[("light", WIDE), ("dark", WIDE), ("light", PHONE)], ids=lambda each: f"{each}")
def page(request: pytest.FixtureRequest, browser: Browser, path: Path) -> Iterator[Page]:
    """The page as one reader has it; nothing but the file is asked for, and nothing goes wrong."""
    scheme: Literal["light", "dark"]
    scheme, width = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    context.set_default_timeout(60_000)
    opened = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    opened.on("request", lambda one: asked.append(one.url) if not one.url.startswith("data:") else None)
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(path.as_uri())
    yield opened
    context.close()
    assert asked == [path.as_uri()]
    assert wrong == []


def test_the_page_fits_its_pictures_show_and_its_words_can_be_read(page: Page) -> None:
    # A folded part is hidden: only what is open has a width.
    page.eval_on_selector_all("details", "all => all.forEach((one) => { one.open = true; })")
    width = page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].filter((one) => !one.naturalWidth).length") == 0
    assert page.evaluate(_CONTRAST, _WORDS) == []


def test_claims_are_filtered_by_their_state(browser: Browser, path: Path) -> None:
    page = browser.new_page()
    page.goto(path.as_uri())
    shown = "[...document.querySelectorAll('.claims tbody tr')].filter((row) => row.offsetParent).length"
    assert page.evaluate(shown) == 100
    page.locator("input[value=unmet]").check()
    unmet = page.evaluate("document.querySelectorAll('.claims tr[data-state=unmet]').length")
    assert 0 < unmet < 100
    assert page.evaluate(shown) == unmet
    page.close()


def test_the_page_prints(browser: Browser, path: Path) -> None:
    page = browser.new_page(color_scheme="dark", viewport={"width": A4, "height": 900})
    page.goto(path.as_uri())
    page.emulate_media(media="print")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    width = page.evaluate("document.documentElement.scrollWidth")
    folded = page.evaluate(
        "[...document.querySelectorAll('details')].filter((one) => one.offsetParent).length"
    )
    printed = page.pdf(format="A4")
    page.close()
    assert ground == "rgb(255, 255, 255)"
    assert width <= A4
    assert folded == 0
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") > 3
