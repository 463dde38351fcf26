"""A browser for tests of the report, and what is asked of every page."""

import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
SIZES = {"desk": (1440, 900), "phone": (390, 844)}


@contextmanager
def chromium():
    """A started browser; the test is skipped where there is none."""
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        except Error as fault:
            pytest.skip(f"no Chromium: {str(fault).splitlines()[0]}")
        yield started
        started.close()


@contextmanager
def opened(browser, file, size="desk", theme="light", scripts=True, bypass_csp=False):
    """A report opened; afterwards nothing but the file was asked for and the console is empty."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, java_script_enabled=scripts, bypass_csp=bypass_csp
    )
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(Path(file).resolve().as_uri())
    yield page
    context.close()
    assert [url for url in asked if not url.startswith("data:")] == [Path(file).resolve().as_uri()]
    assert said == []


def axe():
    """The source of axe-core."""
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe-playwright-python is not installed")
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
