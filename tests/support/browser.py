"""A real browser without a window, and what it must never have to complain of.

Needs a Chromium, which `python -m hack.browser` brings (`make test` does it).
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from hack import browser as chromium

WAIT_MS = 20_000.0
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def open_browser() -> Generator[Browser, None, None]:
    """Start it; one for many pages."""
    program = chromium.find()
    if program is None:
        pytest.fail("wanted a Chromium, found none; bring one with `python -m hack.browser`")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: Browser, url: str, *, path: str = "/", refusals: int = 0, **settings: Any
) -> Generator[Page, None, None]:
    """Open a page of the server at `url` in a profile of its own.

    At its end, nothing but that server was asked, and the browser's console is empty but for as
    many answers that were refused.
    """
    context = browser.new_context(**settings)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    asked: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def on_request(request: Request) -> None:
        asked.append(request.url)

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(f"raised: {error}"))
    context.on("request", on_request)
    page.goto(url + path)
    yield page
    context.close()
    refused = [each for each in complaints if each.startswith("Failed to load resource")]
    assert len(refused) == refusals
    assert [each for each in complaints if each not in refused] == []
    assert [each for each in asked if not each.startswith(url)] == []


def violations(page: Page) -> list[str]:
    """List what axe-core finds wrong for people who do not see, hear or point."""
    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


def overflow(page: Page) -> int:
    """Tell by how many pixels the page is wider than its window."""
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
