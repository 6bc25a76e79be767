"""The pictures of the demo's report for the README and the documentation: ``make pictures``, after ``make demo``.

``python docs/pictures.py REPORT.html FOLDER`` opens the report in Chromium, wide and narrow, light and dark, and the
network with a unit pinned, and writes PNG files.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

SIZES = {"wide": (1200, 1500), "narrow": (390, 1500)}
THEMES = ("light", "dark")


def main(report: Path, folder: Path) -> None:
    """Write every picture."""
    program = os.environ.get("EVERYGRAD_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("Chromium is needed: apt-get install chromium, or EVERYGRAD_CHROMIUM=/path/to/it")
    if not report.is_file():
        sys.exit(f"there is no {report}: run `make demo` first")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu", *flags])
        for theme in THEMES:
            for size in SIZES:
                take(browser, report, theme, size, folder / f"report-{size}-{theme}.png")
            pinned(browser, report, theme, folder / f"network-{theme}.png")
        browser.close()


def take(browser: Browser, report: Path, theme: str, size: str, file: Path) -> None:
    """The top of the page."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    page.screenshot(path=file, animations="disabled")
    context.close()
    print(file)


def pinned(browser: Browser, report: Path, theme: str, file: Path) -> None:
    """The first network, with the unit pinned that carries most in the middle of the picture."""
    context = browser.new_context(viewport={"width": 1100, "height": 1000}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    network = page.locator(".explorer").first
    network.evaluate(
        "e => { for (let d = e.closest('details'); d; d = d.parentElement.closest('details')) d.open = true }"
    )
    network.locator(".column").nth(1).locator(".unit").nth(9).click()
    network.screenshot(path=file, animations="disabled")
    context.close()
    print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
