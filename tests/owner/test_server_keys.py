"""The key of a model server: tried there, stored in a file of its own, and given to that server only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.gemini import Call, FakeGemini, Reply, refusing_url
from fakes.installed import Installed
from fakes.openai import WRONG_KEY, OpenAIServer, error, models
from fakes.program import run
from fakes.secrets import KEY, SERVER_KEY

from kindle_appliance.options.credentials import file_name
from kindle_appliance.options.server_address import ServerAddress

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.default = guarded
        yield server


def guarded(call: Call) -> Reply:
    """A list of models for those who have the key."""
    has_key = call.headers.get("authorization") == f"Bearer {SERVER_KEY}"
    return models("small", "large") if has_key else WRONG_KEY


@pytest.fixture
def installed(tmp_path: Path, server: OpenAIServer, gemini: FakeGemini) -> Installed:
    """An installed appliance with one model at the test's server, after one of Gemini's."""
    installed = Installed(tmp_path)
    text = f'gemini_url = "{gemini.url}"\nconnect_seconds = 5\nmodels = ["gemini-1", "small at {server.url}"]\n'
    installed.at.settings.write_text(text)
    return installed


def place(installed: Installed, url: str) -> Path:
    return installed.at.keys / file_name(ServerAddress.parse(url).name)


def test_a_servers_key_is_tried_there_and_stored_for_it_alone(
    installed: Installed, server: OpenAIServer, gemini: FakeGemini
) -> None:
    name = ServerAddress.parse(server.url).name
    status, printed, errors = installed.run("key", "--for", server.root, given=f"API_KEY='{SERVER_KEY}'\n")
    assert (status, errors) == (0, "")
    assert printed == (
        f"{name} accepts the key and offers 2 models.\nThe key for {name} was stored in {installed.at.keys}.\n"
    )
    stored = place(installed, server.url)
    assert stored.read_text() == f"{SERVER_KEY}\n" and ":" not in stored.name
    assert [stored.stat().st_mode & 0o777, stored.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    asked = [(call.path, call.headers.get("authorization")) for call in server.calls]
    assert asked == [("/v1/models", f"Bearer {SERVER_KEY}"), ("/v1/models", None)]
    assert not gemini.calls and installed.at.secret("key").read_text() == ""
    assert installed.told() == ["try-restart kindle-appliance.service"]
    assert "accepts" in installed.run("key", "--for", name, given=SERVER_KEY)[1]
    assert installed.told() == ["try-restart kindle-appliance.service"], "the same key changes nothing"
    assert SERVER_KEY not in str(installed.run("settings"))


def test_an_address_without_a_port_means_the_only_server_of_that_computer(
    installed: Installed, server: OpenAIServer
) -> None:
    assert installed.run("key", "--for", "127.0.0.1", given=SERVER_KEY)[0] == 0
    assert place(installed, server.url).exists() and len(list(installed.at.keys.iterdir())) == 1


def test_a_key_is_not_called_accepted_by_a_server_that_lists_its_models_for_everybody(
    installed: Installed, server: OpenAIServer
) -> None:
    server.default = models("small")
    name = ServerAddress.parse(server.url).name
    status, printed, _ = installed.run("key", "--for", server.root, given=SERVER_KEY)
    assert status == 0 and place(installed, server.url).exists()
    assert printed.splitlines()[0] == (
        f"{name} lists its models without a key, too, so the key was not tried. To try it:"
        " sudo kindle-appliance models test"
    )
    installed.at.settings.write_text("")
    status, printed, _ = installed.run("key", "--for", server.root, given=SERVER_KEY)
    assert printed.splitlines()[0].endswith("so the key was not tried.")
    assert printed.endswith(f"To add one: sudo kindle-appliance models add {name}\n")


def test_a_key_for_gemini_is_tried_at_gemini_though_another_model_is_the_first(
    installed: Installed, server: OpenAIServer, gemini: FakeGemini
) -> None:
    installed.at.settings.write_text(f'gemini_url = "{gemini.url}"\nmodels = ["small at {server.url}"]\n')
    gemini.replies(Reply.models("gemini-a"))
    status, printed, _ = installed.run("key", given=KEY)
    first, _, *last = printed.splitlines()
    assert (status, first) == (0, "Gemini accepts the key and offers 1 model.")
    assert last == [
        "No model of Gemini's is in the list, so the key is not used yet.",
        f'Add one to `models` in {installed.at.settings}, such as "gemini-3.8-flash".',
    ]
    assert not server.calls
    assert "No model" not in installed.run("key", "--remove")[1]
    installed.at.settings.write_text(
        f'gemini_url = "{gemini.url}"\nmodels = ["small at {server.url}", "gemini-a"]\n'
    )
    gemini.replies(Reply.models("gemini-a"))
    assert "No model" not in installed.run("key", given=KEY)[1]


def test_a_key_that_a_server_refuses_is_not_stored(installed: Installed, server: OpenAIServer) -> None:
    server.default = error(401, f"Invalid API Key {SERVER_KEY}", "authentication_error")
    status, printed, errors = installed.run("key", "--for", server.root, given=SERVER_KEY)
    assert (status, printed) == (1, "")
    assert "does not accept this key. Please copy it again." in errors and "Nothing was changed." in errors
    assert SERVER_KEY not in errors
    assert not installed.at.keys.exists() and installed.told() == []


def test_a_key_for_a_computer_that_is_off_is_stored_only_on_request(installed: Installed) -> None:
    with refusing_url() as url:
        status, _, errors = installed.run("key", "--for", url, given=SERVER_KEY)
        assert status == 1 and "the key could not be tried: " in errors and "all the same: --untried\n" in errors
        assert not installed.at.keys.exists()
        status, printed, _ = installed.run("key", "--for", url, "--untried", given=SERVER_KEY)
    assert status == 0 and place(installed, url).read_text() == f"{SERVER_KEY}\n"
    name = ServerAddress.parse(url).name
    assert f"in the list yet. To add one: sudo kindle-appliance models add {name}\n" in printed


def test_a_removed_key_leaves_no_file(installed: Installed, server: OpenAIServer) -> None:
    assert installed.run("key", "--for", server.root, "--remove")[1].startswith("There is no key for ")
    assert installed.told() == [] and not installed.at.keys.exists()
    installed.run("key", "--for", server.root, given=SERVER_KEY)
    status, printed, _ = installed.run("key", "--for", server.root, "--remove")
    assert status == 0 and printed.endswith(f"was removed from {installed.at.keys}.\n")
    assert list(installed.at.keys.iterdir()) == []
    assert installed.told() == ["try-restart kindle-appliance.service"] * 2


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://pc", "its beginning is neither http:// nor https://"),
        (f"http://{SERVER_KEY}@pc", "more than a computer"),
        ("", "it names no computer"),  # an empty variable of a script
        ("http://openrouter.ai/api", "over http everybody on the way could read the key. Take https://"),
    ],
)
def test_a_key_is_asked_for_only_where_it_can_be_sent(
    installed: Installed, gemini: FakeGemini, address: str, words: str
) -> None:
    status, printed, errors = installed.run("key", "--for", address, given=SERVER_KEY)
    assert (status, printed) == (1, "") and words in errors and SERVER_KEY not in errors
    assert not gemini.calls and installed.at.secret("key").read_text() == "", "nor is it taken for Gemini's"


def test_a_bad_stored_key_can_be_replaced(installed: Installed, server: OpenAIServer) -> None:
    installed.at.keys.mkdir()
    place(installed, server.url).write_text("two words\n")
    assert "The key in " in installed.run("settings")[2]
    assert installed.run("key", "--for", server.root, given=SERVER_KEY)[0] == 0
    assert installed.run("settings")[0] == 0


def test_in_a_checkout_a_servers_key_goes_into_the_folder_that_the_settings_name(
    tmp_path: Path, server: OpenAIServer
) -> None:
    (tmp_path / "own").write_text(SERVER_KEY)
    command = ("key", "--for", server.root, "--file", str(tmp_path / "own"))
    status, _, errors = run(tmp_path, *command)
    assert status == 1 and "Set KINDLE_APPLIANCE_KEYS when you start it, or name a folder" in errors
    (tmp_path / "settings.toml").write_text(f'keys_folder = "{tmp_path}/keys"\n')
    status, printed, errors = run(tmp_path, *command, "--config", str(tmp_path / "settings.toml"))
    assert (status, errors) == (0, "")
    assert (tmp_path / "keys" / file_name(ServerAddress.parse(server.url).name)).read_text() == f"{SERVER_KEY}\n"
    assert printed.endswith("Restart the appliance, so that the change takes effect.\n")
