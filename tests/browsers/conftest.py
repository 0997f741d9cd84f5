"""Fixtures of every browser test: an engine, a browser, and a folder for pictures."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import Browser
from .engines import CHROMIUM, ENGINES, W3M, Engine, W3m

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
KINDLE_4 = (600, 706)  # CSS pixels of its page; only the Kindle Keyboard's is smaller, by 18 pixels of width


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a test whose engine has crashed once more; the summary counts it. A page that crashes it fails it twice.

    In the fixtures below the crash shows when they end, and DevTools shows it first, by the name of websockets.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=["CrashError", "ConnectionClosedError"]))


def demand(engine: Engine | W3m, in_ci: bool) -> None:
    """Skips the test when the engine cannot run here, but fails it in CI, so that no test is lost."""
    reason = engine.missing()
    if reason and in_ci:
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"


@pytest.fixture(scope="session", params=ENGINES, ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    engine: Engine = request.param
    demand(engine, _in_ci())
    return engine


@pytest.fixture
def browser(engine: Engine) -> Iterator[Browser]:
    """A fresh browser of each engine in turn, with the page size of a Kindle 4."""
    with engine.start(*KINDLE_4) as browser:
        yield browser


@pytest.fixture
def scriptless_browser() -> Iterator[Browser]:
    """A fresh Chromium of the same size with scripts off; PhantomJS cannot be driven without them."""
    demand(CHROMIUM, _in_ci())
    with CHROMIUM.start(*KINDLE_4) as browser:
        browser.disable_scripts()
        yield browser


@pytest.fixture
def w3m() -> W3m:
    """The text browser."""
    demand(W3M, _in_ci())
    return W3M


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder for pictures of the page, for human eyes; git ignores it."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
