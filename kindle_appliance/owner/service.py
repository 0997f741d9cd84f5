"""The running appliance, as a command beside it sees it: over HTTP, and through systemd."""

from __future__ import annotations

import codecs
import http.client
import json
import re
import subprocess
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from ..errors import StartError
from ..host.network import web_address
from .installation import SERVICE, SOCKET, Installation

_HEALTH_SECONDS = 10.0
_HEALTH_BYTES = 64 * 1024
_PAGE_BYTES = 1024 * 1024
_ANSWER_SECONDS = 900.0  # the appliance has clocks of its own, shorter ones
_SYSTEMD_SECONDS = 120.0
_LIKE_A_KINDLE = {
    "User-Agent": "Mozilla/5.0 (Linux; U; en-US) AppleWebKit/531.2+",
    "Accept": "text/html, */*;q=0.5",
}


@dataclass(frozen=True)
class Service:
    """A possibly running appliance at `url`; requests send the `pin`, if there is one."""

    url: str
    pin: str | None = None

    def health(self, host: str | None = None) -> dict[str, Any] | None:
        """Asks for /healthz; its `status` is "ok" if nothing is wrong. None if no appliance answers.

        `host` is a Host header instead of the one of `url`: an appliance answers only to names that it knows.
        """
        try:
            with closing(self.connect(_HEALTH_SECONDS)) as connection:
                connection.request("GET", "/healthz", headers=self.headers() | ({"Host": host} if host else {}))
                facts = json.loads(connection.getresponse().read(_HEALTH_BYTES))
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return facts if isinstance(facts, dict) and "status" in facts else None

    def find_page_fault(self, host: str | None = None) -> str | None:
        """Fetches the first page as a Kindle would, through the page of the PIN if that is asked for. None if it
        comes with status 200, else what came in its place, as the end of a sentence. It changes nothing in the
        appliance, except that a wrong PIN counts as one. `host` is as for `health`.
        """
        try:
            status, _ = self._fetch("GET", "/", host)
            if status == 403 and self.pin:
                status, cookie = self._fetch("POST", "/pin", host, body=urlencode({"pin": self.pin, "back": "/"}))
                if not cookie:
                    return f"the PIN is not taken (status {status})"
                status, _ = self._fetch("GET", "/", host, Cookie=cookie)
        except (OSError, http.client.HTTPException) as error:
            return f"no page comes ({type(error).__name__})"
        return None if status == 200 else f"the first page has status {status}"

    def ask(self, question: str) -> Generator[str]:
        """Its answer, while it is written; closing it stops it. Raises `StartError` with its sentence."""
        body = json.dumps({"message": question}).encode()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with closing(self.connect(_ANSWER_SECONDS)) as connection:
            try:
                connection.request("POST", "/api/chat", body, self.headers())
                response = connection.getresponse()
                if response.status != 200:
                    raise StartError(str(json.loads(response.read())["error"]))
                while data := response.read1(65536):
                    yield decoder.decode(data)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise StartError(f"the answer broke off ({type(error).__name__}). Please ask again.") from error

    def seen_from(self, address: str) -> Service:
        """The same, as other machines reach it."""
        return replace(self, url=web_address(address, urlsplit(self.url).port or 80))

    def _fetch(
        self, method: str, path: str, host: str | None, body: str | None = None, **headers: str
    ) -> tuple[int, str]:
        """The status of a page that came whole, and the session in its cookies, "" if there is none."""
        with closing(self.connect(_HEALTH_SECONDS)) as connection:
            form = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
            name = {} if host is None else {"Host": host}
            connection.request(method, path, body, _LIKE_A_KINDLE | form | name | headers)
            response = connection.getresponse()
            page = response.read(_PAGE_BYTES)
            if response.length:
                raise http.client.IncompleteRead(page, response.length)
            cookies = [each.partition(";")[0] for each in response.headers.get_all("Set-Cookie", [])]
            return response.status, next((each for each in cookies if each.startswith("pin=")), "")

    def headers(self) -> dict[str, str]:
        """The headers of a script that sends JSON, with the PIN."""
        headers = {"Content-Type": "application/json"}
        return headers | ({"Authorization": f"Bearer {self.pin}"} if self.pin else {})

    def connect(self, seconds: float) -> http.client.HTTPConnection:
        """A connection, not open yet, whose every step may take so many seconds."""
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)


def installed_url() -> str | None:
    """Where systemd listens for the service, also while it is not running; None if there is no such socket."""
    listens = re.search(r":(\d+) \(Stream\)", _systemctl("show", "--property=Listen", SOCKET) or "")
    return web_address("127.0.0.1", int(listens[1])) if listens else None


def restart() -> bool:
    """Let the service read its settings and secrets anew, if it runs. Whether that was done or not needed."""
    return _systemctl("try-restart", SERVICE) is not None


def take_effect(installation: Installation | None) -> None:
    """Let an installed service read its settings and secrets anew; else say that this is left to do."""
    if not (installation and restart()):
        print("Restart the appliance, so that the change takes effect.")


class Restart:
    """A restart of the service, or its start. It begins here, and systemd ends it when the service is ready."""

    def __init__(self) -> None:
        self._before = _main_process()
        self._systemctl = subprocess.Popen(  # noqa: S603 - our own words
            ["systemctl", "restart", SERVICE],  # noqa: S607 - where the distribution has it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def status(self) -> int | None:
        """0 if it is done, another number if it has failed, and None before."""
        return self._systemctl.poll()

    def has_new_process(self) -> bool:
        """Whether what can be seen of the service is no longer that of its process before."""
        return self.status() is not None or _main_process() not in ("", "0", self._before)

    def close(self) -> None:
        """Wait no longer for it; it goes on."""
        self._systemctl.kill()
        self._systemctl.wait()


@contextmanager
def stopped() -> Iterator[None]:
    """A time without the service: its socket is stopped too, or the next request would start it again. What ran
    before runs afterwards. Raises `StartError` if it does not stop.
    """
    units = [unit for unit in (SOCKET, SERVICE) if _state(unit) not in ("inactive", "failed")]
    try:
        is_stopped = not units or _systemctl("stop", *units) is not None
    except (KeyboardInterrupt, SystemExit):  # it may be stopping all the same
        _systemctl("start", *units)
        raise
    if not is_stopped:
        raise StartError("systemd could not stop the service: see `systemctl status kindle-appliance`.")
    try:
        yield
    finally:
        if units and _systemctl("start", *units) is None:
            raise StartError("systemd could not start the service again: see `systemctl status kindle-appliance`.")


def _main_process() -> str:
    """The number of the service's process; "0" for none, "" if systemd does not tell."""
    return (_systemctl("show", "--property=MainPID", "--value", SERVICE) or "").strip()


def _state(unit: str) -> str:
    """As systemd calls it; between the starts of a service that fails again and again that is "activating"."""
    return (_systemctl("show", "--property=ActiveState", "--value", unit) or "inactive").strip()


def _systemctl(*arguments: str) -> str | None:
    """What systemctl prints; None if it fails or is not there."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            ["systemctl", *arguments],  # noqa: S607 - where the distribution has it
            check=True,
            capture_output=True,
            encoding="utf-8",
            timeout=_SYSTEMD_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
