"""A page that follows an answer over any number of connections, as static/live.js does."""

from __future__ import annotations

import codecs

from kindle_appliance.typesetting.typesetter import Typesetter

from .house import PageState
from .secret_scanner import SCANNER, Client


class Reader:
    """The page of an answer: settled blocks, then the HTML of a tail. `url` is the appliance's."""

    def __init__(self, url: str, answer: int) -> None:
        self.blocks: list[str] = []
        self.upto = 0
        self.tail = ""
        self.end: dict[str, str] | None = None
        self.connections = 0
        self._address = f"{url}/answers/{answer}?as=events&from="

    def stream(self, pieces: int | None = None) -> None:
        """Follow over one connection, to its end or for `pieces` pieces. Raises HTTPError if it is cut."""
        self._get("", pieces)

    def poll(self) -> None:
        """Get the answer so far. Raises HTTPError if the response is cut."""
        self._get("&wait=0")

    def _get(self, query: str, pieces: int | None = None) -> None:
        state, decoder = PageState(), codecs.getincrementaldecoder("utf-8")()
        self.connections += 1
        scanned = SCANNER.stream("response")
        with Client(retries=False, timeout=30) as client:
            try:
                response = client.request("GET", f"{self._address}{self.upto}{query}", preload_content=False)
                assert response.status == 200
                while pieces != 0 and (data := response.read1(65536)):
                    scanned.feed(data)
                    state.feed(decoder.decode(data))
                    pieces = None if pieces is None else pieces - 1
            finally:
                self._take_over(state)

    def _take_over(self, state: PageState) -> None:
        """Add a response, which begins after the last block of the page. So its tail replaces the one before."""
        self.blocks += state.blocks
        self.upto = state.upto or self.upto
        self.tail = state.tail if state.events else self.tail
        self.end = state.end


def page_of(text: str, finish: str = "complete") -> list[str]:
    """The blocks of an answer that ended so, typeset at once."""
    typesetter = Typesetter()
    typesetter.feed(text)
    typesetter.close(is_broken_off=finish != "complete")
    return [block.html for block in typesetter.blocks]
