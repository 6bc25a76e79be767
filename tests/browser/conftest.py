"""Pages in a real browser: Debian's Chromium, driven by Playwright, without a network."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Heard:
    """What a page did besides showing itself: nothing of it is allowed."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a process; ``EVERYGRAD_CHROMIUM`` names another than the one on the path."""
    program = os.environ.get("EVERYGRAD_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.fail("these tests need Chromium: apt-get install chromium, or EVERYGRAD_CHROMIUM=/path/to/it")
    flags = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else [*QUIET]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=flags)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens the text of a page from a file; at the end no page may have said, asked for or loaded anything."""
    contexts: list[BrowserContext] = []
    heard = Heard()

    def opens(text: str, *, width: int = 1200, height: int = 900, before: str = "", **options: Any) -> Page:
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(text, "utf-8")
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: heard.console.append(message.text))
        page.on("pageerror", lambda error: heard.console.append(str(error)))
        page.on("request", lambda request: heard.requests.append(request.url))
        page.on("dialog", lambda dialog: (heard.dialogs.append(dialog.message), dialog.dismiss()))
        if before:
            page.add_init_script(before)
        page.goto(file.as_uri())
        return page

    opens.heard = heard  # type: ignore[attr-defined]
    yield opens
    for context in contexts:
        context.close()
    assert heard.console == []
    assert heard.dialogs == []
    inside = ("data:image/png;base64,", "about:srcdoc", "blob:")
    assert [url for url in heard.requests if not url.startswith(("file:///", *inside))] == []
    assert len([url for url in heard.requests if url.startswith("file:")]) == len(contexts)
