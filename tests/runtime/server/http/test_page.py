"""The page in a real Chromium, on a real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from mixdq.runtime.server.auth import make_keys

from .serving import Client, thread_server, with_keys

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
_KEY = "a-key-of-some-length"
WIDE, PHONE = (1200, 900), (390, 844)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # The 5 s of Playwright are too few for a machine that is busy with other things.
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses root, as which containers run.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, client: Client) -> Iterator[Page]:
    """The page of the server with real engines; nothing is asked of another host, and nothing goes wrong."""
    yield from _opened(browser, client)


def _opened(
    browser: Browser,
    client: Client,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = WIDE,
    faults: bool = False,
) -> Iterator[Page]:
    context = browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(20_000)
    page = context.new_page()
    hosts: set[str] = set()
    wrong: list[str] = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(client.url)
    yield page
    context.close()
    assert hosts <= {urlsplit(client.url).netloc, ""}  # a blob has no host
    assert faults or not wrong


def draw(page: Page, prompt: str, size: str, seed: str) -> None:
    page.fill("#prompt", prompt)
    page.select_option("#size", size)
    page.fill("#seed", seed)
    page.click("#go")


def pixels_of(page: Page) -> list[int]:
    """The picture that is shown, as RGBA."""
    found: list[int] = page.evaluate(
        """async () => {
            const image = document.querySelector("#frame img");
            await image.decode();
            const canvas = document.createElement("canvas");
            canvas.width = image.naturalWidth;
            canvas.height = image.naturalHeight;
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    return found


def test_a_prompt_becomes_a_picture_of_the_size_and_seed_that_were_asked_for(page: Page) -> None:
    expect(page.locator("#state")).to_have_text("ready")
    draw(page, "a red apple", "24x24", "7")
    expect(page.locator("#caption")).to_contain_text("24x24, seed 7")
    assert len(pixels_of(page)) == 24 * 24 * 4


def test_enter_draws_and_a_seed_that_is_left_out_is_named(page: Page) -> None:
    page.fill("#prompt", "a red apple")
    page.press("#prompt", "Enter")
    expect(page.locator("#caption")).to_contain_text("seed")


def test_a_recent_picture_comes_back_with_its_prompt_size_and_seed(page: Page) -> None:
    draw(page, "first", "16x16", "1")
    expect(page.locator("#recent button")).to_have_count(1)
    first = pixels_of(page)
    draw(page, "second", "24x24", "2")
    expect(page.locator("#recent button")).to_have_count(2)
    page.click("#recent button:last-child")
    assert page.input_value("#prompt") == "first"
    assert page.input_value("#size") == "16x16"
    assert page.input_value("#seed") == "1"
    assert pixels_of(page) == first


def test_the_live_view_counts_what_was_served(page: Page) -> None:
    expect(page.locator("#counts")).to_contain_text("came")
    draw(page, "a cat", "16x16", "3")
    expect(page.locator("#recent button")).to_have_count(1)
    expect(page.locator("#p95")).to_contain_text("ms")
    expect(page.locator("#p95-chart .goal")).to_have_count(1)
    expect(page.locator("#p95-chart .line")).to_have_count(1)
    expect(page.locator("#shares .share")).to_have_count(2)
    expect(page.locator("#workers")).to_contain_text("worker 0: ")


def test_what_the_server_refuses_is_said_and_the_form_stays_usable(browser: Browser, client: Client) -> None:
    for page in _opened(browser, client, faults=True):
        draw(page, "a" * 5000, "auto", "1")
        expect(page.locator("#error")).to_contain_text("prompt")
        expect(page.locator("#go")).to_be_enabled()
        draw(page, "a cat", "auto", "1")
        expect(page.locator("#recent button")).to_have_count(1)
        expect(page.locator("#error")).to_be_hidden()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_screen_in_light_and_dark(
    browser: Browser, client: Client, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    for page in _opened(browser, client, scheme, size):
        expect(page.locator("#state")).to_have_text("ready")
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        ground, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        assert (_light(ground) > _light(ink)) == (scheme == "light")


def test_a_server_with_keys_asks_for_one_and_draws_with_it(browser: Browser, tiny_folder: Path) -> None:
    with thread_server(tiny_folder, settings=with_keys(make_keys((_KEY,)))) as locked:
        for page in _opened(browser, locked, faults=True):
            expect(page.locator("#state")).to_have_text("needs a key")
            page.fill("#key", _KEY)
            expect(page.locator("#state")).to_have_text("ready")
            draw(page, "a cat", "16x16", "1")
            expect(page.locator("#caption")).to_contain_text("16x16, seed 1")


def _light(color: str) -> int:
    """Of `rgb(r, g, b)`."""
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))
