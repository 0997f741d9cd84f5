"""A model server on another computer of the house, and the installed appliance that asks it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fakes.secret_scanner import SCANNER
from fakes.secrets import SERVER_KEY
from fakes.terminal import Terminal

from .debian import DEBIANS, Machine
from .test_install import CONFIG, OFFLINE, ask, get, install, journal, purge, started, switched_on, unit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PC = "192.168.1.20"
PORT, GUARDED_PORT = 11434, 8080
SERVER = """
import http.server, json, sys, time
key, *models = sys.argv[2:]
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.is_welcome():
            self.send(200, json.dumps({"data": [{"id": each} for each in models]}))
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.is_welcome():
            return
        words = f"It is {asked['model']} that says so, and it says it slowly.".split(" ")
        chunks = [{"choices": [{"delta": {"content": f"{word} "}}]} for word in words]
        chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        self.send(200, "".join(f"data: {json.dumps(each)}\\n\\n" for each in chunks) + "data: [DONE]\\n\\n")
    def is_welcome(self):
        if key and self.headers["Authorization"] != f"Bearer {key}":
            self.send(401, json.dumps({"error": {"message": "Invalid API Key", "type": "authentication_error"}}))
            return False
        return True
    def send(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if text.startswith("data:") else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Server).serve_forever()
"""
"""Its arguments: the port, the key that it wants ("": none), and its models."""


@pytest.fixture(scope="module", params=DEBIANS, ids=lambda debian: debian.suite)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine of each release in turn, and a computer at the other end of its cable."""
    with switched_on(request.param, tmp_path_factory.mktemp("machine")) as machine:
        for line in (
            "netns add pc",
            "link set wall netns pc",
            f"-n pc address add {PC}/24 dev wall",
            "-n pc link set wall up",
            "-n pc link set lo up",
        ):
            machine.run("ip", *line.split())
        yield machine


@contextmanager
def serving(machine: Machine, port: int, key: str, *models: str) -> Iterator[None]:
    """A model server that runs on the other computer meanwhile."""
    within = ("ip", "netns", "exec", "pc")
    with started(machine, f"server-{port}", *within, "python3", "-c", SERVER, str(port), key, *models):
        while not machine.run(*within, "ss", "-Hltn", f"sport = :{port}").stdout:
            pass
        yield


def command(machine: Machine, *arguments: str, status: int = 0) -> str:
    done = machine.run("kindle-appliance", *arguments, is_to_work=False)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def models(machine: Machine) -> list[str]:
    """The entries of the list, as the settings file has them."""
    found = machine.run("grep", "-E", '^(models = | +"|\\])', f"{CONFIG}/settings.toml", is_to_work=False).stdout
    return re.findall(r'"([^"]+)"', found)


def answer(machine: Machine) -> str:
    """The page with the whole answer to a question that is asked now."""
    path = ask(machine, f"Who says so at {time.monotonic()}?")  # the same question again would be the same answer
    deadline = time.monotonic() + 30
    while "slowly." not in (page := get(machine, path)) and time.monotonic() < deadline:
        pass
    return page


def test_a_script_installs_with_the_address_of_a_model_server(machine: Machine) -> None:
    purge(machine)
    with serving(machine, PORT, "", "qwen3:8b"):
        said = install(machine, "new", "--model-server", PC)
        assert f"A model server answers at http://{PC}:{PORT}/v1." in said
        assert "demo" not in said and "Google" not in said
        assert models(machine) == [f"qwen3:8b at http://{PC}:{PORT}/v1"]
        assert "It is qwen3:8b that says so" in answer(machine)


def test_the_list_and_the_doctor_say_whether_the_computer_is_on(machine: Machine) -> None:
    """After the test before."""
    with serving(machine, PORT, "", "qwen3:8b"):
        assert re.search(rf"^1 +qwen3:8b +{PC}:{PORT} +\d+ +no +ready$", command(machine, "models"), re.MULTILINE)
        said = command(machine, "models", "test")
        assert "words a minute" in said or "the rest with it" in said
        found = command(machine, "doctor", "--ask")
        assert f"{PC}:{PORT} offers 1 model, all of the settings among them." in found
        assert re.search("^ok +answer +qwen3:8b answers", found, re.MULTILINE)
    assert "does not reach" in command(machine, "models", status=1)
    assert re.search(f"^failure +server .*{PC}", command(machine, "doctor", status=1), re.MULTILINE)


def test_a_server_that_wants_a_key_gets_it_from_the_service_alone(machine: Machine) -> None:
    """After the tests before: the other server is off, so this one answers."""
    with serving(machine, GUARDED_PORT, SERVER_KEY, "gemma3:4b", "llama3:8b"):
        before = unit(machine, "InvocationID")
        said = command(machine, "models", "add", f"{PC}:{GUARDED_PORT}", "--model", "llama3:8b", status=1)
        assert "wants a key" in said and "--model-key-file" in said
        machine.run("sh", "-c", f"umask 077; echo '{SERVER_KEY}' > key")
        try:
            add = ("models", "add", f"{PC}:{GUARDED_PORT}", "--model-key-file", "key")
            assert "It offers: gemma3:4b, llama3:8b." in command(machine, *add, status=1)
            assert unit(machine, "InvocationID") == before, "nothing was stored"
            said = command(machine, *add, "--model", "llama3:8b", "--first")
        finally:
            machine.run("rm", "key")
        assert SERVER_KEY not in said and "It is asked first." in said
        assert unit(machine, "InvocationID") != before
        stored = f"{CONFIG}/keys/{PC}_{GUARDED_PORT}"
        assert machine.run("stat", "--format=%U %a", stored).stdout == "root 600\n"
        assert [each.partition(" ")[0] for each in models(machine)] == ["llama3:8b", "qwen3:8b"]
        assert "It is llama3:8b that says so" in answer(machine)
        assert re.search(r"^warning +server ", command(machine, "doctor"), re.MULTILINE), "the other one is off"
    assert SERVER_KEY not in journal(machine)
    search = ["grep", "--recursive", "--files-with-matches", "--no-messages", "--fixed-strings", SERVER_KEY]
    found = machine.run(*search, "/etc", "/opt", "/var/lib/private", "/run", is_to_work=False).stdout.split()
    assert set(found) - {stored} <= {f"/run/credentials/kindle-appliance.service/keys_{PC}_{GUARDED_PORT}"}


def test_on_a_terminal_the_owner_chooses_a_server_and_one_of_its_models(machine: Machine) -> None:
    purge(machine)
    install(machine)  # so that this version has been made
    purge(machine)
    machine.run("sh", "-c", "mkdir -p /opt/kindle-appliance && cp -al /root/versions /opt/kindle-appliance")
    with serving(machine, PORT, "", "gemma3:4b", "qwen3:8b"):
        line = [*machine.inside(OFFLINE), "script", "-qec", "/root/new/install.sh", "/dev/null"]
        with Terminal(line, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}) as terminal:
            terminal.answer("1, 2 or 3? ", "2")
            assert "Google gets every question" not in terminal.shown
            terminal.answer("(nothing: none): ", f"{PC}:9")
            terminal.answer("(nothing: none): ", PC)
            terminal.answer("Which one? [1-2] ", "2")
            assert terminal.end() == 0
        assert f"nothing answers at http://{PC}:9/v1" in terminal.shown
        assert "demo" not in terminal.shown.rpartition("Which one?")[2]
        assert "It is qwen3:8b that says so" in answer(machine)


SETTINGS_OF_0_1 = """## The settings of the Kindle appliance.

## models to ask, the best first; if one cannot answer, the next is asked; a list of at least one name of a model.
models = ["gemini-3.6-flash", "gemini-3.5-flash-lite"]
text_size = 5
max_output_tokens = 4096
thinking_level = "low"
temperature = 1.0
"""


def test_an_upgrade_from_0_1_keeps_its_settings_to_the_letter(machine: Machine) -> None:
    """That version had no folder for keys, and its unit named none."""
    purge(machine)
    machine.run("mkdir", CONFIG)
    machine.run("tee", f"{CONFIG}/settings.toml", input=SETTINGS_OF_0_1)
    install(machine, "old")
    machine.run("rm", "-r", f"{CONFIG}/keys")
    machine.run("systemctl", "restart", "kindle-appliance")
    page = ask(machine, "What was there before?")
    install(machine)
    assert machine.run("cat", f"{CONFIG}/settings.toml").stdout == SETTINGS_OF_0_1
    assert "What was there before?" in get(machine, page)
    assert unit(machine, "NRestarts") == "0"
    assert machine.run("stat", "--format=%U %a", f"{CONFIG}/keys").stdout == "root 700\n"
    said = command(machine, "settings")
    assert re.search(r"^models +gemini-3.6-flash, gemini-3.5-flash-lite +/etc", said, re.MULTILINE)
    with serving(machine, PORT, "", "qwen3:8b"):
        command(machine, "models", "add", PC)
        assert models(machine)[-1] == f"qwen3:8b at http://{PC}:{PORT}/v1"
        assert "It is qwen3:8b that says so" in answer(machine), "there is no key for the others"
    after = machine.run("cat", f"{CONFIG}/settings.toml").stdout
    assert after.replace(f', "{models(machine)[-1]}"', "") == SETTINGS_OF_0_1
    SCANNER.scan("output", after)
    purge(machine)
