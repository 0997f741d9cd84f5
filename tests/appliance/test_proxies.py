"""The README's configurations of reverse proxies, in real ones: answers in pieces, questions, and clients apart."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import ROOT, unavailable
from fakes.gemini import Call, FakeGemini
from fakes.ports import free_port
from fakes.program import Appliance
from fakes.secret_scanner import Connection
from fakes.secrets import KEY

from .tools import find, missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NAME = "books.home.arpa"
UPSTREAM = "127.0.0.1:8080"
JSON = {"Content-Type": "application/json"}
PIECES = 26
STARTS = 200  # looks at a proxy that starts, 50 ms apart


def block(word: str) -> str:
    """The indented block of the README's section with this word in it."""
    section = (ROOT / "README.md").read_text(encoding="utf-8")
    section = section.partition("### Behind a reverse proxy\n")[2].partition("\n## ")[0]
    (found,) = [each for each in re.findall(r"(?:^(?: {4}.*)?\n)+", section, re.MULTILINE) if word in each]
    return str(found)


def without(*directives: str) -> Callable[[str], str]:
    """Leave lines with one of these out of a configuration."""
    return lambda text: "".join(line for line in text.splitlines(True) if not re.search("|".join(directives), line))


def nginx(folder: Path, site: str) -> list[str]:
    """The command for nginx with a site: everything else as it is built, but in this folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    main = f"pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{site}}}\n"
    (folder / "nginx.conf").write_text(main)
    command = [
        str(find("nginx")),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "errors"),
    ]
    return [*command, "-g", "daemon off;"]


def caddy(folder: Path, site: str) -> list[str]:
    """The command for Caddy with a site, on loopback, without its port for administration."""
    (folder / "Caddyfile").write_text(f"{{\nadmin off\ndefault_bind 127.0.0.1\n}}\n{site}")
    return [str(find("caddy")), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@dataclass(frozen=True)
class Kind:
    """A proxy with a configuration: the program, the word in the README's block, and what is changed in that."""

    program: Callable[[Path, str], list[str]]
    word: str
    change: Callable[[str], str] = str

    def site(self, port: int, appliance: int) -> str:
        """The configuration with the ports of a test."""
        text = self.change(block(self.word)).replace(UPSTREAM, f"127.0.0.1:{appliance}")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
            f"http://{NAME}", f"http://{NAME}:{port}"
        )
        assert str(port) in text and str(appliance) in text
        return text


KINDS = {
    "nginx, as in the README": Kind(nginx, "server_name"),
    "nginx, with its defaults": Kind(nginx, "server_name", without("_version", "_timeout", "-Proto")),
    "nginx, with X-Forwarded-Host": Kind(
        nginx, "server_name", lambda text: text.replace("set_header Host", "set_header X-Forwarded-Host")
    ),
    "Caddy, as in the README": Kind(caddy, "reverse_proxy"),
}


@contextmanager
def proxying(kind: Kind, appliance: int) -> Iterator[int]:
    """Run a proxy, without privileges, in a folder of its own; gives its port on loopback."""
    if reason := missing(kind.program.__name__):
        unavailable(reason)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="proxy-") as name:
        folder = Path(name)
        command = kind.program(folder, kind.site(port, appliance))
        user = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for each in (folder, *folder.iterdir()):
                os.chown(each, nobody.pw_uid, nobody.pw_gid)
        env = {"PATH": os.environ["PATH"], "HOME": name, "XDG_DATA_HOME": name, "XDG_CONFIG_HOME": name}
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output, **user)  # type: ignore[call-overload]
        try:
            wait_for(port, process, folder)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    pause = threading.Event()
    for _ in range(STARTS):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, (folder / "output").read_text()
        pause.wait(0.05)
    raise AssertionError((folder / "output").read_text())


class House:
    """The real program with the README's settings, and a proxy before it."""

    def __init__(self, kind: Kind, folder: Path, gemini: FakeGemini, minute: int) -> None:
        self._stops = ExitStack()
        (folder / "settings.toml").write_text(re.sub("^ +", "", block("proxies ="), flags=re.MULTILINE))
        options = ["--config", str(folder / "settings.toml"), "--gemini-url", gemini.url, "--no-mdns"]
        limit = {"KINDLE_APPLIANCE_QUESTIONS_PER_MINUTE": str(minute)}
        appliance = Appliance(folder, *options, GEMINI_API_KEY=KEY, **limit)
        self._stops.callback(appliance.close)
        self.port = self._stops.enter_context(proxying(kind, appliance.port))
        self.errors = appliance.errors

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self._stops.close()

    def request(
        self, method: str, path: str, body: str = "", client: str = "127.0.0.2", **more: str
    ) -> http.client.HTTPResponse:
        """A request to the proxy from this address, for the name that readers type."""
        connection = Connection("127.0.0.1", self.port, timeout=30, source_address=(client, 0))
        self._stops.callback(connection.close)
        headers: Mapping[str, str] = {"Host": f"{NAME}:{self.port}", **more}
        connection.request(method, path, body or None, headers)
        return connection.getresponse()

    def ask(self, question: str, client: str = "127.0.0.2") -> int:
        """Send the form of the page as a browser does; returns the status."""
        form = urlencode({"question": question, "form": "form"})
        kind, origin = "application/x-www-form-urlencoded", f"http://{NAME}:{self.port}"
        more = {"Content-Type": kind, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        return self.request("POST", "/ask", form, client, **more).status


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each proxy with each configuration in turn."""
    return KINDS[request.param]


def pieces_of(response: http.client.HTTPResponse, call: Call) -> int:
    """Write an answer piece by piece, each when the client has the one before; returns what the client took."""
    count, received = 0, b""
    for number in range(PIECES):
        call.text(f"piece-{number} ")
        while f"piece-{number}".encode() not in received:
            data = response.read1(65536)
            assert data, received
            received, count = received + data, count + 1
    return count


def test_an_answer_arrives_piece_by_piece_while_it_is_written(
    kind: Kind, tmp_path: Path, gemini: FakeGemini
) -> None:
    with House(kind, tmp_path, gemini, 100) as house:
        assert house.request("GET", "/").status == 200
        assert house.ask("Why?") == 303
        call = gemini.next_call()
        call.start()
        events = house.request("GET", "/answers/1?as=events")
        assert events.status == 200 and pieces_of(events, call) >= PIECES
        call.finish("The end.")
        assert b"event: end" in events.read()

        assert house.ask("And why not?") == 303
        call = gemini.next_call()
        call.start()
        call.text("First ")  # the headers come with the first text
        assert pieces_of(house.request("GET", "/answers/2?as=text"), call) >= PIECES
        call.finish("The end.")
        assert house.request("HEAD", "/answers/2?as=events").read() == b""

        body = json.dumps({"message": "Why?"})
        with ExitStack() as waiting:
            asking = waiting.enter_context(in_thread(lambda: house.request("POST", "/api/chat", body, **JSON)))
            call = gemini.next_call()
            call.start()
            call.text("First ")
            assert pieces_of(asking(), call) >= PIECES
            call.finish("The end.")


@contextmanager
def in_thread(action: Callable[[], http.client.HTTPResponse]) -> Iterator[Callable[[], http.client.HTTPResponse]]:
    """Begin an action; gives what waits for its result."""
    found: list[http.client.HTTPResponse] = []
    thread = threading.Thread(target=lambda: found.append(action()))
    thread.start()

    def result() -> http.client.HTTPResponse:
        thread.join(30)
        return found[0]

    yield result
    thread.join(30)


def test_the_limits_count_by_the_proxys_client(kind: Kind, tmp_path: Path, gemini: FakeGemini) -> None:
    with House(kind, tmp_path, gemini, 1) as house:
        assert house.ask("Why?") == 303
        assert house.ask("And why not?") == 429
        assert house.ask("And here?", "127.0.0.3") == 303
        for _ in range(2):
            call = gemini.next_call()
            call.start()
            call.finish("Because.")
        form = urlencode({"question": "And why not?", "form": "form"})
        forged = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "127.0.0.9"}
        assert house.request("POST", "/ask", form, **forged).status == 429, "a client cannot name another address"


def test_without_the_readers_host_a_question_is_taken_for_a_strangers(tmp_path: Path, gemini: FakeGemini) -> None:
    """So the README names it: nginx sends the appliance's own address."""
    kind = Kind(nginx, "server_name", without("Host"))
    with House(kind, tmp_path, gemini, 100) as house:
        assert house.request("GET", "/").status == 200
        assert house.ask("Why?") == 403


def test_without_the_clients_address_a_proxy_is_refused(tmp_path: Path, gemini: FakeGemini) -> None:
    with House(Kind(nginx, "server_name", without("-For ")), tmp_path, gemini, 100) as house:
        assert house.request("GET", "/").status == 403


@pytest.mark.parametrize("name", ["nginx, as in the README", "Caddy, as in the README"])
def test_a_script_notices_an_answer_that_breaks_off(name: str, tmp_path: Path, gemini: FakeGemini) -> None:
    with House(KINDS[name], tmp_path, gemini, 100) as house, ExitStack() as waiting:
        body = json.dumps({"message": "Why?"})
        asking = waiting.enter_context(in_thread(lambda: house.request("POST", "/api/chat", body, **JSON)))
        call = gemini.next_call()
        call.start()
        call.text("So far")
        response = asking()
        assert response.read1(100) == b"So far"
        call.reset()
        if name.startswith("Caddy") and is_old_caddy():
            assert response.read() == b"", "as the README says"
            return
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()


def is_old_caddy() -> bool:
    version = subprocess.run([str(find("caddy")), "version"], capture_output=True, text=True, check=True).stdout
    return version.startswith(("2.6", "v2.6"))
