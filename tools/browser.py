"""A headless browser for the tests: Chromium, driven by Playwright.

Playwright's package brings a driver but no browser. It is looked for in ``$CHROMIUM``, then among the
programs on the PATH, then where ``playwright install chromium`` puts one. ``python tools/browser.py`` says
where it is.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
)
# Nothing but the pages under test may ask the network, or the test that no page does is worth nothing.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
)
HOW_TO_INSTALL = "no Chromium found: install one (apt-get install chromium), or name one in CHROMIUM"


def find_chromium() -> Path | None:
    """The browser's program, or None.

    Raises:
        FileNotFoundError: if ``$CHROMIUM`` names a file that doesn't exist.
    """
    named = os.environ.get("CHROMIUM")
    if named and not shutil.which(named):
        raise FileNotFoundError(f"CHROMIUM={named}: no such program")
    found = [named, *(shutil.which(program) for program in PROGRAMS), *PLACES, _from_playwright()]
    return next((Path(shutil.which(path)) for path in found if path and shutil.which(path)), None)


def _from_playwright() -> str | None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A running browser.

    Raises:
        FileNotFoundError: if there is none; it says how to get one.
    """
    from playwright.sync_api import sync_playwright

    program = find_chromium()
    if program is None:
        raise FileNotFoundError(HOW_TO_INSTALL)
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = [*FLAGS, "--no-sandbox"] if as_root else [*FLAGS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    sys.exit(HOW_TO_INSTALL) if find_chromium() is None else print(find_chromium())
