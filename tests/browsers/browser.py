"""A browser as a test sees it: open a page, type, click, run a script, take a picture.

Each way to drive an engine has a module beside this one: `ghostdriver` for PhantomJS, `devtools` for Chromium,
`wkhtmltopdf` for the oldest WebKit. No process is started here: `engines` does that.
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Longer than our slowest page takes on a loaded machine; a hanging driver must not hang the test run.
ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.02
MOST_POLL_SECONDS = 0.1  # after a while: each look makes the browser and its driver compute
TEXT_SHOWN = 2000
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36,
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip
"""The `keyCode` of keys, by their names (W3C, UI Events KeyboardEvent key Values)."""


class DriverError(Exception):
    """The driver refused a command, or does not answer. The message names the command and the cause."""


@dataclass(frozen=True)
class Element:
    """An element of the current page; invalid after the next page is opened."""

    reference: str

    def as_argument(self) -> dict[str, str]:
        """The element as a script's argument, as the JSON wire protocol has it."""
        return {"ELEMENT": self.reference}


class Browser(ABC):
    """One window of exactly `size` = (width, height) CSS pixels, one device pixel each, without scroll bars.

    Every method raises DriverError when the driver refuses, for instance when there is no such element.
    """

    size: tuple[int, int]

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Gives the page another size in CSS pixels; the page gets its `resize` event."""

    @abstractmethod
    def errors(self) -> list[str]:
        """The script errors of all pages opened since the last call, oldest first."""

    def disable_scripts(self) -> None:
        """Turns the scripts of pages off from the next page on; `script`, `text` and `wait_until` go on working."""
        raise DriverError("this engine cannot be driven without JavaScript")

    @abstractmethod
    def open(self, url: str) -> None:
        """Opens a page and returns when it has loaded. No answer is an error, an answer like 404 is not."""

    @abstractmethod
    def reload(self) -> None:
        """Loads the page again and returns when it has loaded. Repeats the POST if the page came from a form."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address of the page."""

    @property
    def title(self) -> str:
        """The title of the page."""
        return str(self.script("return document.title"))

    @property
    def text(self) -> str:
        """The visible text of the page, without hidden elements."""
        return str(self.script("return document.body ? document.body.innerText : ''"))

    @abstractmethod
    def find(self, css: str) -> Element:
        """The first element that matches this CSS selector. Does not wait: use `wait_until` before it."""

    @abstractmethod
    def type(self, element: Element, text: str) -> None:
        """Appends to the element's text, key by key."""

    def choose_file(self, css: str, path: Path) -> None:
        """Chooses a file in the field that matches this CSS selector, as its dialog does."""
        raise DriverError("this engine cannot be driven to choose a file")

    @abstractmethod
    def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        """Presses a key of `KEYS` where the focus is, and lets it go."""

    @abstractmethod
    def click(self, element: Element) -> None:
        """Clicks in the middle of the element; an error if it is hidden or something lies above it.

        Usually waits for a page load that the click starts, but no engine promises it: `wait_until` something
        that only the new page has.
        """

    @abstractmethod
    def script(self, source: str, *args: Any) -> Any:
        """Runs the body of a function in the page (ES5 for the old engines) and returns its result.

        Arguments arrive as `arguments[0]` and so on: JSON values and Elements. A promise is waited for.
        Raises DriverError with the page's message when the script throws.
        """

    def _point(self, element: Element) -> tuple[float, float]:
        """Scrolls to the element; returns the point of the page for a click on it."""
        # The middle of the first box is where W3C WebDriver clicks (section 11.1, "in-view center point").
        x, y, hit = self.script(
            "var element = arguments[0], box, x, y, hit; element.scrollIntoViewIfNeeded();"
            "box = element.getClientRects()[0]; if (!box) { return [0, 0, false]; }"
            "x = box.left + box.width / 2; y = box.top + box.height / 2;"
            "hit = document.elementFromPoint(x, y); return [x, y, element.contains(hit)];",
            element,
        )
        if not hit:
            raise DriverError(f"the element at {x:g}, {y:g} is hidden, or another one would get the click")
        return x, y

    def wait_until(self, expression: str, seconds: float = 10.0) -> Any:
        """Waits until a JavaScript expression is truthy in the page, and gives back its value.

        An expression that throws counts as not yet true. Raises AssertionError after `seconds`, with the text of
        the page and its errors.
        """
        deadline, pause = time.monotonic() + seconds, POLL_SECONDS
        while True:
            thrown = ""
            try:
                value = self.script(f"return ({expression});")
                if value:
                    return value
            except DriverError as error:
                value, thrown = None, f"\nit threw: {error}"
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not true within {seconds:g} s: {expression}\nit was: {value!r}{thrown}\n"
                    f"page: {self.url}\ntitle: {self.title}\nerrors: {self.errors()}\n"
                    f"text: {self.text[:TEXT_SHOWN]}"
                )
            time.sleep(pause)
            pause = min(1.25 * pause, MOST_POLL_SECONDS)

    @abstractmethod
    def screenshot(self, path: Path) -> Path:
        """Writes the window's view as a PNG of exactly `size` pixels; returns its path."""

    @abstractmethod
    def quit(self) -> None:
        """Closes the window. Ignores a driver that has died: its window is gone anyway."""
