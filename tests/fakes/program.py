"""The real program in a process of its own: a test starts it, asks it and ends it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

from conftest import COVERAGE_OF_PROGRAMS, ROOT

from .ports import free_port
from .secret_scanner import SCANNER, Connection, Output
from .secrets import KEY

PROGRAM = [sys.executable, "-B", "-m", "kindle_appliance"]

UNLIMITED = {
    "GEMINI_API_KEY": KEY,
    "KINDLE_APPLIANCE_QUESTIONS_PER_MINUTE": "1000",
    "KINDLE_APPLIANCE_QUESTIONS_PER_DAY": "100000",
}
"""Settings with a key, and practically without a rate limit."""


def traced() -> dict[str, str]:
    """The variable that lets coverage count in a process of a test; none if it does not trace the test itself."""
    return {name: value for name, value in os.environ.items() if name == COVERAGE_OF_PROGRAMS}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of the program: only the path comes from this machine, and all files are in `folder`."""
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    return {**own, **traced(), **more}


def run(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Run one command to its end. Return its status, stdout and stderr."""
    return complete([*PROGRAM, *arguments], environment(folder, **more))


def complete(command: list[str], env: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=20
    )
    SCANNER.scan("output", done.stdout + done.stderr)
    return done.returncode, done.stdout, done.stderr


class Program:
    """A running command. Its stderr goes to the file `stderr` in `folder`."""

    def __init__(self, folder: Path, *arguments: str, **more: str) -> None:
        self.errors = folder / "stderr"
        with self.errors.open("ab") as errors:
            command, env = [*PROGRAM, *arguments], environment(folder, **more)
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        assert self.process.stdout is not None
        self.output = Output(self.process.stdout)

    def close(self) -> None:
        with self.process:
            self.process.kill()

    def read_until(self, text: str) -> str:
        data = b""
        while text.encode() not in data:
            piece = self.output.read(1000)
            assert piece, (data, self.errors.read_text())
            data += piece
        return data.decode()


class Appliance(Program):
    """The serving program, on a free port. `greeting`: its output up to its address on this machine. `patience`: in
    seconds, for each step of a response.
    """

    patience = 20.0

    def __init__(self, folder: Path, *arguments: str, host: str = "127.0.0.1", **more: str) -> None:
        self.port = free_port()
        self._connections = ExitStack()
        self._cookie: dict[str, str] = {}
        super().__init__(folder, *arguments, "--host", host, "--port", str(self.port), **more)
        self.greeting = self.read_until(f"http://127.0.0.1:{self.port}/\n")

    def close(self) -> None:
        self._connections.close()
        super().close()

    def rest(self) -> str:
        """Stop it. Return all its output."""
        self.process.terminate()
        return self.greeting + self.output.read().decode()

    def sign_in(self, cookie: str) -> None:
        """Send this cookie with each request from now on."""
        self._cookie = {"Cookie": cookie}

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        return self._request("GET", path, **headers)

    def post(self, path: str, **fields: str) -> http.client.HTTPResponse:
        return self._request("POST", path, urlencode(fields))

    def ask(self, question: str) -> None:
        assert self.refused(question) == 303

    def refused(self, question: str) -> int:
        """The status for a question, 303 if it is accepted."""
        return self.post("/ask", question=question, form="form").status

    def _request(self, method: str, path: str, body: str | None = None, **more: str) -> http.client.HTTPResponse:
        connection = Connection("127.0.0.1", self.port, timeout=self.patience)
        self._connections.callback(connection.close)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        headers |= self._cookie | {name.replace("_", "-"): value for name, value in more.items()}
        connection.request(method, path, body, headers)
        return connection.getresponse()


def end_event(body: bytes) -> dict[str, str]:
    """The data of a stream's last event, which must be `end`."""
    last = body.decode().rstrip("\n").rpartition("\n\n")[2]
    name, _, data = last.partition("\ndata: ")
    assert name == "event: end\nid: end", body
    found: dict[str, str] = json.loads(data)
    return found
