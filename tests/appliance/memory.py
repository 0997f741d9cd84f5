"""The memory of the real program, with its name announced on a network of the test's own."""

from __future__ import annotations

import time
from http.client import HTTPConnection

from fakes.process import Process

from .lan import Lan

AT_MOST = 45  # MB
_PI = "10.83.0.20"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_READER = {"Cookie": "hyphens=1", "Accept-Language": "en"}  # whose engine breaks at soft hyphens


def resident_after(lan: Lan, seconds: float) -> float:
    """MB in memory so long after the name was announced; an English answer has been read meanwhile."""
    pi = lan.host(_PI)
    serving = pi.serve("--demo")
    serving.wait_for("mdns: kindle.local is announced")
    announced = time.monotonic()

    def read() -> bytes:
        page = HTTPConnection(_PI, 8080, timeout=20)
        page.request("POST", "/ask", "question=Tell+me+a+long+story+of+the+sea&form=form", _FORM)
        page.getresponse().read()
        page.request("GET", "/answers/1?as=events&from=0")
        page.getresponse().read()
        for _ in range(2):  # a dictionary of hyphens is loaded after the first time
            page.request("GET", "/chats/1/1", headers=_READER)
            answer = page.getresponse().read()
            time.sleep(1)
        page.close()
        return answer

    assert b'class="reading ended complete"' in pi.within(read)
    time.sleep(max(0.0, announced + seconds - time.monotonic()))
    return Process(serving.process.pid).resident()
