"""`kindle-appliance models add ADDRESS`: the server is found, a model chosen, tried and stored, by scripts too."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import openai
from fakes.gemini import Call, Reply, refusing_url
from fakes.installed import Installed
from fakes.openai import OpenAIServer
from fakes.program import run
from fakes.secrets import KEY, SERVER_KEY
from fakes.terminal import Terminal

from kindle_appliance.errors import StartError
from kindle_appliance.options.credentials import file_name
from kindle_appliance.owner import discovery
from kindle_appliance.owner.addition import Wish, add_model
from kindle_appliance.owner.discovery import PORTS, candidates
from kindle_appliance.owner.settings_template import template
from kindle_appliance.settings import Settings

pytestmark = pytest.mark.timeout(120)

ANSWER = openai.answer("Because of ", "the salt.")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A server of one model that answers."""
    with OpenAIServer() as server:
        server.default = openai.answers(lambda call: ANSWER, openai.models("qwen3:8b"))
        yield server


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    installed = Installed(tmp_path)
    installed.at.settings.write_text(template({"name": "books"}))
    return installed


def place(server: OpenAIServer) -> str:
    return re.sub("^http://|/.*", "", server.url)


def listed(installed: Installed) -> list[str]:
    models: list[str] = tomllib.loads(installed.at.settings.read_text())["models"]
    return models


def guarded(*models: str) -> object:
    """A server's default that wants a key."""

    def reply(call: Call) -> Reply:
        if call.headers.get("authorization") != f"Bearer {SERVER_KEY}":
            return openai.WRONG_KEY
        return openai.models(*models) if call.method == "GET" else ANSWER

    return reply


def test_the_only_model_of_a_server_is_tried_and_becomes_the_list(
    installed: Installed, server: OpenAIServer
) -> None:
    before = installed.at.settings.read_text()
    installed.at.settings.chmod(0o644)
    status, printed, errors = installed.run("models", "add", place(server))
    assert (status, errors) == (0, "")
    assert re.fullmatch(
        rf"A model server answers at {server.url}\.\n"
        rf"qwen3:8b at {place(server)} is asked a short question \.\.\.\n"
        r"The first word came after \d+\.\d s, .*\.\n"
        rf"qwen3:8b at {place(server)} was stored in {installed.at.settings}\. It is the only one that is asked\."
        r"\n",
        printed,
    )
    after = installed.at.settings.read_text()
    assert [line for line in after.splitlines() if line not in before.splitlines()] == [
        f'models = ["qwen3:8b at {server.url}"]'
    ]
    assert installed.at.settings.stat().st_mode & 0o777 == 0o644
    assert installed.told() == ["try-restart kindle-appliance.service"]
    assert installed.run("models", "add", place(server))[1].endswith(
        f"is in the list already. To change it, edit `models` in {installed.at.settings}.\n"
    )
    assert installed.run("models")[0] == 0


@pytest.mark.parametrize("first", [True, False])
def test_beside_a_key_for_gemini_it_goes_to_the_end_or_to_the_front(
    installed: Installed, server: OpenAIServer, first: bool
) -> None:
    installed.at.secret("key").write_text(KEY)
    status, printed, _ = installed.run("models", "add", server.url, "--no-restart", *["--first"] * first)
    assert status == 0
    new, gemini = f"qwen3:8b at {server.url}", [str(each) for each in Settings().models]
    assert listed(installed) == ([new, *gemini] if first else [*gemini, new])
    assert ("It is asked first." if first else "It is the last of the list.") in printed
    assert installed.told() == []


def test_of_several_models_the_owner_chooses_one_by_its_number(installed: Installed, server: OpenAIServer) -> None:
    server.default = openai.answers(lambda call: ANSWER, openai.models("gemma3:4b", "qwen3:8b", "llama3:8b"))
    with Terminal(installed.command("models", "add", place(server)), installed.environment) as terminal:
        terminal.answer("   1  gemma3:4b\n   2  qwen3:8b\n   3  llama3:8b\nWhich one? [1-3] ", "4")
        terminal.answer("Which one? [1-3] ", "0000000019")
        terminal.answer("Which one? [1-3] ", "2")
        assert terminal.end() == 0
    assert listed(installed) == [f"qwen3:8b at {server.url}"]


def test_a_script_names_one_of_several(installed: Installed, server: OpenAIServer) -> None:
    server.default = openai.answers(lambda call: ANSWER, openai.models("gemma3:latest", "qwen3:8b"))
    before = installed.at.settings.read_text()
    status, _, errors = installed.run("models", "add", place(server))
    assert status == 1
    assert "Choose one with --model NAME. It offers: gemma3:latest, qwen3:8b.\n" in errors
    status, _, errors = installed.run("models", "add", place(server), "--model", "llama3")
    assert status == 1
    assert (
        "does not offer llama3. It offers: gemma3:latest, qwen3:8b. With Ollama, there: ollama pull llama3\n"
        in errors
    )
    assert installed.at.settings.read_text() == before
    assert installed.run("models", "add", place(server), "--model", "gemma3", "--context", "4096")[0] == 0
    assert listed(installed) == [f"gemma3 at {server.url} context=4096"]


@pytest.mark.parametrize("folder", ["/srv/models/", "C:\\Users\\me\\models\\"])
def test_a_model_that_is_a_file_gets_a_name_for_readers(
    installed: Installed, server: OpenAIServer, folder: str
) -> None:
    """And its context is what the server says, which llama.cpp does, unless the owner says something else."""
    file = f"{folder}SmolLM2-135M.Q8_0.gguf"
    server.default = openai.answers(lambda call: ANSWER, openai.models(**{file: 2048}))
    add = ("models", "add", place(server), "--no-restart")
    assert [
        installed.run(*add, *more)[0] for more in ([], ["--model", "smol"], ["--model", "a", "--context", "512"])
    ] == [0, 0, 0]
    assert listed(installed) == [
        f"SmolLM2-135M.Q8_0 at {server.url} context=2048",
        f"smol at {server.url} context=2048",
        f"a at {server.url} context=512",
    ]
    assert server.calls[-1].json["model"] == "a"
    status, _, errors = installed.run(*add, "--model", "b", "--context", "8")
    assert status == 1 and "Allowed is context = a whole number from 256 to" in errors


def test_a_server_that_wants_a_key_gets_it_from_a_file_or_the_terminal(
    installed: Installed, server: OpenAIServer, tmp_path: Path
) -> None:
    server.default = guarded("qwen3:8b")  # type: ignore[assignment]
    status, _, errors = installed.run("models", "add", place(server))
    assert status == 1
    assert errors.endswith("wants a key. Nothing was changed. To give one: --model-key-file FILE\n")
    stored = installed.at.folder / "keys" / file_name(place(server))
    assert not stored.exists()
    with Terminal(installed.command("models", "add", place(server)), installed.environment) as terminal:
        prompt = f"The key for {place(server)} (it is not shown): "
        terminal.answer(f"{place(server)} wants a key.\n{prompt}", "sk-wrong-0123456789")
        terminal.answer(prompt, SERVER_KEY)
        assert terminal.end() == 0
    assert f"{place(server)} does not accept this key. Please copy it again. (401" in terminal.shown
    assert SERVER_KEY not in terminal.shown
    assert stored.read_text() == f"{SERVER_KEY}\n"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert SERVER_KEY not in installed.at.settings.read_text()
    assert installed.run("models")[0] == 0, "the list uses the stored key"
    stored.unlink()
    installed.at.settings.write_text("")
    (tmp_path / "key").write_text(f'OPENAI_API_KEY="{SERVER_KEY}"\n')
    assert installed.run("models", "add", place(server), "--model-key-file", str(tmp_path / "key"))[0] == 0
    assert stored.read_text() == f"{SERVER_KEY}\n"


def test_a_server_that_lists_its_models_for_everybody_gets_its_key_when_it_refuses_the_question(
    installed: Installed, server: OpenAIServer, tmp_path: Path
) -> None:
    """As OpenRouter does, and llama.cpp with a key."""
    server.default = lambda call: (
        openai.models("qwen3:8b") if call.method == "GET" else guarded("qwen3:8b")(call)  # type: ignore[operator]
    )
    before = installed.at.settings.read_text()
    (tmp_path / "key").write_text("sk-wrong-0123456789")
    add = ("models", "add", place(server))
    for said, more in (
        (f"{place(server)} wants a key. ", ()),
        (f"{place(server)} does not accept this key. Please copy it again. ", ("--model-key-file", "key")),
    ):
        status, _, errors = installed.run(*add, *[str(tmp_path / each) if each == "key" else each for each in more])
        assert status == 1 and errors.startswith(f"kindle-appliance: {said}")
        assert errors.endswith("Nothing was changed. To give one: --model-key-file FILE\n")
    stored = installed.at.folder / "keys" / file_name(place(server))
    assert not stored.exists() and installed.at.settings.read_text() == before
    with Terminal(installed.command(*add), installed.environment) as terminal:
        prompt = f"The key for {place(server)} (it is not shown): "
        terminal.answer(f"{place(server)} wants a key.\n{prompt}", "sk-wrong-0123456789")
        terminal.answer(prompt, SERVER_KEY)
        assert terminal.end() == 0
    assert f"{place(server)} does not accept this key. Please copy it again. (401" in terminal.shown
    assert stored.read_text() == f"{SERVER_KEY}\n"
    assert listed(installed) == [f"qwen3:8b at {server.url}"]
    stored.write_text("sk-wrong-0123456789\n")
    status, printed, _ = installed.run("models", "test")
    assert status == 1 and "does not accept this key. Please copy it again. (401" in printed


def test_a_key_from_a_file_goes_to_the_model_server_only_and_not_to_other_programs_of_its_computer(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.default = guarded("qwen3:8b")  # type: ignore[assignment]
    (tmp_path / "key").write_text(SERVER_KEY)
    config = tmp_path / "settings.toml"
    settings = Settings(keys_folder=str(tmp_path / "keys"))
    with OpenAIServer() as stranger:
        stranger.default = Reply.html(404)
        ports = [int(each.url.removesuffix("/v1").rpartition(":")[2]) for each in (stranger, server)]
        monkeypatch.setattr(discovery, "PORTS", dict.fromkeys(ports, "a program"))
        wish = Wish("127.0.0.1", key_file=tmp_path / "key", restart=False)
        assert add_model(settings, None, config, wish, lambda _: None) == 0
        assert stranger.calls and all("authorization" not in call.headers for call in stranger.calls)
    assert (tmp_path / "keys" / file_name(place(server))).read_text() == f"{SERVER_KEY}\n"
    assert tomllib.loads(config.read_text())["models"] == [f"qwen3:8b at {server.url}"]


def test_a_new_key_is_stored_for_a_model_that_is_in_the_list_already(
    installed: Installed, server: OpenAIServer, tmp_path: Path
) -> None:
    assert installed.run("models", "add", place(server))[0] == 0
    server.default = guarded("qwen3:8b")  # type: ignore[assignment]
    (tmp_path / "key").write_text(SERVER_KEY)
    status, printed, _ = installed.run("models", "add", place(server), "--model-key-file", str(tmp_path / "key"))
    assert status == 0 and "is in the list already. " in printed and "was stored in " in printed
    assert installed.run("models")[0] == 0
    assert listed(installed) == [f"qwen3:8b at {server.url}"]


def test_what_to_set_for_a_server_with_a_key_is_told_where_nothing_can_be_stored(
    server: OpenAIServer, tmp_path: Path
) -> None:
    server.default = guarded("qwen3:8b")  # type: ignore[assignment]
    (tmp_path / "key").write_text(SERVER_KEY)
    add = ("models", "add", place(server), "--model-key-file", str(tmp_path / "key"))
    status, printed, errors = run(tmp_path, *add)
    assert (status, errors) == (0, "") and SERVER_KEY not in printed
    assert printed.splitlines()[-2:] == [
        f'    KINDLE_APPLIANCE_MODELS="qwen3:8b at {server.url}"',
        f'    KINDLE_APPLIANCE_KEYS="{place(server)}=KEY", with the key in place of KEY',
    ]
    (tmp_path / "settings.toml").write_text("")
    status, printed, errors = run(tmp_path, *add, "--config", str(tmp_path / "settings.toml"))
    assert status == 1 and "it has no place for a key" in errors
    assert "is asked" not in printed, "said before a question is spent"


def test_a_server_without_credit_is_not_asked_with_other_keys(installed: Installed, server: OpenAIServer) -> None:
    server.default = openai.error(402, "Insufficient credits")
    with Terminal(installed.command("models", "add", place(server)), installed.environment) as terminal:
        assert terminal.end() == 1
    assert re.search(r"no list of models came\. \S+ The credit at \S+ is used up\.", terminal.shown)


def test_a_model_that_does_not_answer_is_stored_only_on_request(installed: Installed, server: OpenAIServer) -> None:
    server.default = openai.answers(lambda call: openai.error(500, "no memory"), openai.models("qwen3:8b"))
    before = installed.at.settings.read_text()
    status, _, errors = installed.run("models", "add", place(server))
    assert status == 1
    assert errors.endswith("Nothing was changed. To store it all the same: --untried\n")
    assert installed.at.settings.read_text() == before
    assert installed.run("models", "add", place(server), "--untried")[0] == 0
    assert listed(installed) == [f"qwen3:8b at {server.url}"]


def test_a_server_that_is_off_is_stored_on_request_with_model_and_port(installed: Installed) -> None:
    with refusing_url() as off:
        status, _, errors = installed.run("models", "add", off)
        assert status == 1
        assert errors.startswith(f"kindle-appliance: nothing answers at {off}/v1. Is the computer switched on")
        status, printed, errors = installed.run("models", "add", off, "--untried", "--model", "qwen3:8b")
    assert (status, errors) == (0, "")
    assert "It could not be tried: nothing answers" in printed
    assert listed(installed) == [f"qwen3:8b at {off}/v1"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://203.0.113.9:8080", "is outside the house, .*--plain-http"),
        ("ftp://pc.local", "is not the address of a server"),
        ("pc.local:0", "is not the address of a server"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_before_anything_is_sent(
    installed: Installed, address: str, said: str
) -> None:
    status, _, errors = installed.run("models", "add", address)
    assert status == 1
    assert re.search(said, errors)


def test_what_cannot_be_stored_is_told_before_or_with_the_line_to_add(
    installed: Installed, server: OpenAIServer, tmp_path: Path
) -> None:
    """From the environment, without a settings file, and into a list in a form of its owner's."""
    line = f"qwen3:8b at {server.url}"
    config = tmp_path / "own.toml"
    config.write_text("")
    add = ("models", "add", server.url)
    status, _, errors = run(tmp_path, *add, "--config", str(config), KINDLE_APPLIANCE_MODELS="gemini-a")
    assert status == 1 and "comes from the environment, KINDLE_APPLIANCE_MODELS" in errors
    status, printed, _ = run(tmp_path, *add)
    assert status == 0 and f'KINDLE_APPLIANCE_MODELS="{line}"' in printed
    assert run(tmp_path, *add, "--config", str(config))[0] == 0
    assert tomllib.loads(config.read_text()) == {"models": [line]}
    installed.at.settings.write_text('"mod\\u0065ls" = ["gemini-a"]\n')
    status, _, errors = installed.run(*add)
    assert status == 1 and errors.endswith(f"Add this to `models` there: {line}\n")


def test_a_settings_file_that_is_too_long_stays_as_it_is(installed: Installed, server: OpenAIServer) -> None:
    long = "# a comment\n" * 100_000 + 'name = "atlas"\n'
    installed.at.settings.write_text(long)
    status, _, errors = installed.run("models", "add", place(server))
    assert status == 1 and "cannot be changed by itself: it has more than 1048576 bytes." in errors
    assert installed.at.settings.read_text() == long


def test_a_server_that_still_loads_its_model_is_waited_for(installed: Installed, server: OpenAIServer) -> None:
    server.replies(openai.LOADING)
    status, printed, _ = installed.run("models", "add", place(server))
    assert status == 0
    assert printed.startswith(f"{place(server)} is still loading its model.")


def test_a_web_server_at_the_address_is_not_taken_for_a_model_server(
    installed: Installed, server: OpenAIServer
) -> None:
    server.default = Reply.html(404)
    status, _, errors = installed.run("models", "add", place(server))
    assert status == 1
    assert f"{place(server)} answers, but not as a model server. Is this its port?" in errors


def test_a_name_that_nobody_knows_and_https_at_a_computer_of_the_house_get_their_own_advice(
    installed: Installed, server: OpenAIServer
) -> None:
    status, printed, errors = installed.run("models", "add", "no-such-computer")
    assert (status, printed) == (1, "Looking for a model server at no-such-computer ...\n")
    assert errors == (
        "kindle-appliance: no computer of the name no-such-computer is found. Take its number, such as"
        " 192.168.1.20.\n"
    )
    status, _, errors = installed.run("models", "add", f"https://{place(server)}")
    assert status == 1 and "asked with http:// and not https://." in errors


def test_without_a_port_the_usual_ones_are_tried_at_a_computer_of_the_house() -> None:
    for text in ("pc.local", "http://pc.local/v1/", "192.168.1.20"):
        assert [each.port for each in candidates(text)] == [*PORTS, 80]
    assert [str(each) for each in candidates("pc.local:9000/api")] == ["http://pc.local:9000/api/v1"]
    assert [str(each) for each in candidates("openrouter.ai/api")] == ["https://openrouter.ai/api/v1"]
    with pytest.raises(StartError, match="is not the address of a server"):
        list(candidates("pc local"))
