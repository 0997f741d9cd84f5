"""The options: their origins, their allowed values, and a key that is never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY, PIN, SERVER_KEY
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import SettingsError
from kindle_appliance.options.entries import Entry
from kindle_appliance.options.kinds import SECRET_PATH
from kindle_appliance.owner.settings_template import template
from kindle_appliance.settings import OPTIONS, Option, Settings, data_folder, load

BY_NAME = {option.name: option for option in OPTIONS}

# An allowed value of each option other than its default: as text, in the file (TOML), and parsed.
EXAMPLES: dict[str, tuple[str, str, Any]] = {
    "host": ("127.0.0.1", '"127.0.0.1"', "127.0.0.1"),
    "port": ("80", "80", 80),
    "data": ("/srv/chats", '"/srv/chats"', "/srv/chats"),
    "gemini_url": ("http://127.0.0.1:9/base", '"http://127.0.0.1:9/base"', "http://127.0.0.1:9/base"),
    "mdns": ("false", "false", False),
    "name": ("Reading-Room", '"reading-room"', "reading-room"),
    "demo": ("true", "true", True),
    "key": (KEY, "", KEY),
    "key_file": ("key", '"key"', "key"),
    "keys": (
        f"pc.local:11434 = {SERVER_KEY}, HTTPS://OpenRouter.ai/api/v1='b',",
        "",
        {"pc.local:11434": SERVER_KEY, "openrouter.ai": "b"},
    ),
    "keys_folder": ("keys", '"keys"', "keys"),
    "pin": (PIN, "", PIN),
    "pin_file": ("pin", '"pin"', "pin"),
    "networks": (
        "192.168.178.0/24, fd00::/8",
        '["192.168.178.0/24", "fd00::/8"]',
        ("192.168.178.0/24", "fd00::/8"),
    ),
    "hosts": ("ai.home, 203.0.113.9", '["ai.home", "203.0.113.9"]', ("ai.home", "203.0.113.9")),
    "proxies": ("127.0.0.1", '["127.0.0.1"]', ("127.0.0.1",)),
    "language": ("zh-CN", '"zh-CN"', "zh-CN"),
    "text_size": ("40", "40", 40),
    "starters": ("Explain:, Why", '["Explain:", "Why"]', ("Explain:", "Why")),
    "follow_ups": ("Shorter", '["Shorter"]', ("Shorter",)),
    "models": (" a-1, b.2 ,", '["a-1", "b.2"]', (Entry("a-1"), Entry("b.2"))),
    "system_instruction": ("Be kind. 好", '"Be kind. 好"', "Be kind. 好"),
    "temperature": ("1.5", "1.5", 1.5),
    "max_output_tokens": ("100", "100", 100),
    "thinking_level": ("low", '"low"', "low"),
    "thinking_budget": ("-1", "-1", -1),
    "history_characters": ("6000", "6000", 6000),
    "questions_per_minute": ("60", "60", 60),
    "device_questions_per_day": ("20", "20", 20),
    "questions_per_day": ("50", "50", 50),
    "books": ("100", "100", 100),
    "books_megabytes": ("900", "900", 900),
    "proxy": ("http://proxy.house:3128", '"http://proxy.house:3128"', "http://proxy.house:3128"),
    "connect_seconds": ("2.5", "2.5", 2.5),
    "first_byte_seconds": ("60", "60", 60),
    "progress_seconds": ("0.5", "0.5", 0.5),
    "followers": ("4", "4", 4),
    "log_level": ("debug", '"debug"', "debug"),
}

# Typing errors of an owner, each with a part of the sentence about the allowed values.
WRONG: list[tuple[str, object, str]] = [
    *[("host", value, "a name or address") for value in ("", "http://pi", "[::1]", "my pi", "pi:80", 80)],
    *[("port", value, "from 1 to 65535") for value in ("0", "-1", "65536", "http", "80.0", "", 0, 80.0, True)],
    *[("port", value, "from 1 to 65535") for value in ([80], {"number": 80}, "9" * 5000)],
    *[("data", value, "a path") for value in ("", " ", "a\0b", 1, False)],
    *[
        ("gemini_url", value, "http://host:port")
        for value in ("", "pi:80", "ftp://pi", "http://", "http://:80", 80)
    ],
    *[("gemini_url", value, "http://host:port") for value in ("http://pi:port", "http://pi:99999", "http://[::1")],
    *[
        ("gemini_url", value, "http://host:port")
        for value in ("http://pi/?quay=1", "http://pi/#top", "http://my pi")
    ],
    *[("proxy", value, "http://host:port") for value in ("proxy:3128", "socks5://proxy:1080", "http://a\nb:1")],
    *[("mdns", value, "true or false") for value in ("on", "", "2", 1, 0.0)],
    *[("demo", value, "true or false") for value in ("maybe", 1)],
    *[
        (name, value, "such as 192.168.178.0/24")
        for name in ("networks", "proxies")
        for value in (["10.0.0.0/33"], ["lan"], [""], [10], "10.0.0.1-9", "10.0.0.0/8 fd00::/8", 10)
    ],
    *[
        ("hosts", value, "without ports")
        for value in (["pi:80"], ["[::1]"], ["http://pi"], [""], [1], "my pi", "*.home", True)
    ],
    *[("language", value, "auto, en, zh-CN") for value in ("de", "zh", "", 1)],
    *[("text_size", value, "from 13 to 62") for value in ("0", "9", "12", "63", "large", 2.5)],
    *[
        (name, value, "a list of short")
        for name in ("starters", "follow_ups")
        for value in ([""], ["x" * 61], [1], 5)
    ],
    ("system_instruction", 5, "a text"),
    *[("name", value, "letters, digits and hyphens") for value in ("", "kindle.local", "-a", "a-", "a b", "海")],
    *[("name", value, "1 to 30") for value in ("a" * 31, 7)],
    *[("temperature", value, "from 0 to 2") for value in ("2.1", "-0.1", "nan", "inf", "warm", True, 3)],
    *[("max_output_tokens", value, "from 1 to") for value in ("0", "8k", "1000001", 8.5)],
    *[("thinking_level", value, "minimal, low, medium, high") for value in ("none", "Low", 1)],
    *[("thinking_budget", value, "from -1 to") for value in ("-2", "dynamic", 0.5)],
    *[("history_characters", value, "from 5000 to") for value in ("0", "4999", "all")],
    *[("questions_per_minute", value, "from 1 to") for value in ("0", 0, "6.5")],
    *[("device_questions_per_day", value, "from 1 to") for value in (0, "none")],
    *[("questions_per_day", value, "from 1 to") for value in (0, "-1")],
    *[("connect_seconds", value, "from 0.1 to 600") for value in ("0", "601", "10s")],
    *[("first_byte_seconds", value, "from 0.1 to 3600") for value in ("0", "nan", "5m")],
    *[("progress_seconds", value, "from 0.1 to 3600") for value in ("0", 4000)],
    *[("followers", value, "from 1 to 500") for value in ("0", "501")],
    *[("log_level", value, "debug, info, warning, error") for value in ("loud", "INFO", 10)],
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def refused(flags: Mapping[str, object], environment: Mapping[str, str], config: Path | None = None) -> str:
    """The sentence that refuses the settings: one line, for the terminal."""
    with pytest.raises(SettingsError) as error:
        load(flags, environment, config)
    sentence = str(error.value)
    SCANNER.scan("output", sentence)
    assert sentence.splitlines() == [sentence]
    return sentence


# The origin of a value


def test_every_field_has_an_option_with_its_help() -> None:
    assert list(BY_NAME) == [field.name for field in fields(Settings) if field.name != "origins"]
    assert set(BY_NAME) == set(EXAMPLES)
    for option in OPTIONS:
        assert len(option.help) > 10
        assert option.env.isupper()
    assert len({option.env for option in OPTIONS}) == len(OPTIONS)


def test_without_anything_set_all_values_are_the_defaults() -> None:
    settings = load({}, {})
    assert settings == Settings()
    assert settings.origins == dict.fromkeys(BY_NAME, "default")


def test_every_default_is_an_allowed_value() -> None:
    for option in OPTIONS:
        value = list(option.default) if isinstance(option.default, tuple) else option.default
        assert value is None or option.kind.accepts(value), option.name


@pytest.mark.parametrize("option", [each for each in OPTIONS if each.flag], ids=lambda option: option.name)
def test_every_flag_sets_its_option(option: Option) -> None:
    text, _, expected = EXAMPLES[option.name]
    settings = load({option.name: text}, {})
    assert getattr(settings, option.name) == expected != option.default
    assert settings.origins[option.name] == f"the command line, {option.flag}"


def made(option: Option, path: Path) -> Path:
    """The empty file or folder that a setting names."""
    path.mkdir() if option.name.endswith("_folder") else path.touch()
    return path


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_environment_variable_sets_its_option(option: Option, tmp_path: Path) -> None:
    text, _, expected = EXAMPLES[option.name]
    if option.kind is SECRET_PATH:
        text = expected = str(made(option, tmp_path / text))
    settings = load({}, {option.env: f" {text}\n"})
    assert getattr(settings, option.name) == expected != option.default
    assert settings.origins[option.name] == f"the environment, {option.env}"
    assert {each for each, origin in settings.origins.items() if origin != "default"} == {option.name}


@pytest.mark.parametrize("option", [each for each in OPTIONS if not each.secret], ids=lambda option: option.name)
def test_every_line_of_the_file_sets_its_option(option: Option, config: Path) -> None:
    _, line, expected = EXAMPLES[option.name]
    if option.kind is SECRET_PATH:
        expected = str(made(option, config.parent / expected))
        line = f'"{expected}"'
    config.write_text(f"{option.name} = {line}\n", encoding="utf-8")
    settings = load({}, {}, config)
    assert getattr(settings, option.name) == expected != option.default
    assert settings.origins[option.name] == str(config)


def test_the_command_line_beats_the_environment_the_environment_the_file_and_the_file_the_default(
    config: Path,
) -> None:
    config.write_text("port = 3\n")
    environment = {"KINDLE_APPLIANCE_PORT": "2"}
    assert load({"port": "1"}, environment, config).port == 1
    assert load({"port": None}, environment, config).port == 2
    assert load({}, {}, config).port == 3
    assert (
        load({}, {"KINDLE_APPLIANCE_PORT": ""}, config).port == 3
    )  # an empty variable in a unit file counts as unset
    assert load({}, {}).port == 8080


@pytest.mark.parametrize(
    ("text", "value"), [("TRUE", True), ("yes", True), ("1", True), ("No", False), ("0", False)]
)
def test_a_switch_accepts_several_words(text: str, value: bool) -> None:
    assert load({}, {"KINDLE_APPLIANCE_DEMO": text}).demo is value


# Values that are not allowed


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_a_bad_value_is_refused_with_its_name_its_origin_and_the_allowed_values(
    name: str, value: object, allowed: str, config: Path
) -> None:
    option = BY_NAME[name]
    config.write_text(f"{name} = {toml(value)}\n", encoding="utf-8")
    said = {f"{config}, line 1": refused({}, {}, config)}
    if isinstance(value, str) and value:
        said[f"the environment, {option.env}"] = refused({}, {option.env: value})
    if isinstance(value, str) and option.flag:
        said[f"the command line, {option.flag}"] = refused({name: value}, {})
    for origin, sentence in said.items():
        assert f"{name} = {value!r}"[:200] in sentence
        assert f", from {origin}, is not allowed" in sentence
        assert allowed in sentence.partition("Allowed is")[2]


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in value) + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else repr(value)


def test_both_ways_to_set_thinking_at_once_are_refused_with_both_origins(config: Path) -> None:
    config.write_text('thinking_level = "low"\n')
    said = refused({}, {"KINDLE_APPLIANCE_THINKING_BUDGET": "0"}, config)
    for part in ("thinking_level", "thinking_budget", str(config), "KINDLE_APPLIANCE_THINKING_BUDGET", "Allowed"):
        assert part in said


def test_a_device_limit_above_the_limit_of_the_house_is_refused_with_both_origins(config: Path) -> None:
    config.write_text("device_questions_per_day = 301\n")
    said = refused({}, {}, config)
    for part in ("device_questions_per_day = 301", str(config), "questions_per_day = 300", "default", "Allowed"):
        assert part in said
    assert load({}, {"KINDLE_APPLIANCE_QUESTIONS_PER_DAY": "301"}, config).device_questions_per_day == 301


def test_an_unknown_name_in_the_file_is_refused_with_the_known_names(config: Path) -> None:
    config.write_text("prot = 80\n")
    said = refused({}, {}, config)
    assert said.startswith("prot")
    assert f"from {config}, line 1, is not a setting" in said
    assert all(name in said.partition("Allowed are")[2] for name in BY_NAME if not BY_NAME[name].secret)


NO_TOML = [b"port: 80", b"port = ", b"port = 08", b"host = \xff"]
NO_TOML += [b"a = " + b"[" * 5000, b"port = " + b"9" * 5000]


@pytest.mark.parametrize("content", NO_TOML, ids=lambda content: repr(content[:20]))
def test_a_settings_file_that_is_not_toml_is_named(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    assert f"The settings file {config} is not valid TOML" in refused({}, {}, config)


def test_a_setting_that_stands_in_the_file_twice_is_named(config: Path) -> None:
    config.write_text("port = 80\nname = 'a'\nport = 81")
    assert refused({}, {}, config) == (
        f"The settings file {config} sets port a second time in line 3. Take one of the two lines out."
    )


def test_a_list_of_models_beside_tables_of_models_is_named_and_a_broken_one_gets_a_short_right_line(
    config: Path,
) -> None:
    config.write_text('models = ["a at pc.local"]\n[[models]]\nmodel = "b"\n')
    assert refused({}, {}, config) == (
        f"The settings file {config} sets models a second time in line 2. Take one of the two lines out."
    )
    config.write_text('models = ["a at pc.local" "b at pc.local"]\n')
    with pytest.raises(SettingsError) as caught:
        load({}, {}, config)
    assert caught.value.excerpt.endswith('\n    models = ["qwen3:8b at pc.local:11434", "gemini-3.8-flash"]')


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.toml", "No such file"), (tmp_path, "directory")):
        said = refused({}, {}, path)
        assert f"The settings file {path} cannot be read" in said
        assert reason in said


def test_files_with_a_byte_order_mark_are_read(config: Path, tmp_path: Path) -> None:
    config.write_text("port = 80\r\n", encoding="utf-8-sig")
    key = tmp_path / "key"
    key.write_text(f"{KEY}\r\n", encoding="utf-8-sig")
    settings = load({}, {"KINDLE_APPLIANCE_KEY_FILE": str(key)}, config)
    assert (settings.port, settings.key) == (80, KEY)


@pytest.mark.parametrize("url", ["http://203.0.113.9:80", "HTTP://gemini.example/base"])
def test_questions_and_key_go_unencrypted_to_no_gemini_outside_the_house(url: str) -> None:
    said = refused({"gemini_url": url}, {})
    assert said.startswith("gemini_url, from the command line, --gemini-url, is not allowed: ")
    assert " is outside the house, and over http everybody on the way could read the questions and the key." in said
    for allowed in (url.lower().replace("http:", "https:"), "http://192.168.1.9:8080", "http://pc.local"):
        assert load({"gemini_url": allowed}, {}).gemini_url == allowed


# The key


def test_a_key_comes_from_the_environment_before_a_key_file_before_systemds_credentials(tmp_path: Path) -> None:
    (tmp_path / "gemini-key").write_text("from-systemd\n")
    own = tmp_path / "own"
    own.write_text("  from-file\r\n")
    environment = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "KINDLE_APPLIANCE_KEY_FILE": str(own),
        "GEMINI_API_KEY": "from-environment",
    }
    for key, origin in (
        ("from-environment", "the environment, GEMINI_API_KEY"),
        ("from-file", str(own)),
        ("from-systemd", str(tmp_path / "gemini-key")),
    ):
        settings = load({}, environment)
        assert (settings.key, settings.origins["key"]) == (key, origin)
        environment.popitem()


@pytest.mark.parametrize("content", ["", " \n", None])
def test_an_empty_or_missing_credential_counts_as_no_key(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "gemini-key").write_text(content)
    settings = load({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (settings.key, settings.origins["key"]) == (None, "default")


def test_a_named_key_file_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "key")
    assert f"key file {missing} cannot be read: No such file" in refused({}, {"KINDLE_APPLIANCE_KEY_FILE": missing})


@pytest.mark.parametrize("bad", [f"{KEY} more", f"{KEY}\n{KEY}", f"{KEY}é", f"{KEY}\x07", KEY * 20])
def test_a_bad_key_is_refused_and_never_shown(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "gemini-key"
    path.write_bytes(bad.encode())
    SCANNER.exempt(path)
    origins = {
        "GEMINI_API_KEY": bad,
        "KINDLE_APPLIANCE_KEY_FILE": str(path),
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }
    for name, value in origins.items():
        said = refused({}, {name: value})
        assert said.startswith("key = (a secret, not shown)")
        assert (name if name == "GEMINI_API_KEY" else str(path)) in said
        assert "Allowed is the key on one line" in said
        assert KEY not in said


def test_a_pin_comes_from_a_credential_like_the_key(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text(f"{PIN}\n")
    settings = load({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (settings.pin, settings.origins["pin"]) == (PIN, str(tmp_path / "pin"))
    assert PIN not in repr(settings)


@pytest.mark.parametrize("bad", ["777", "7" * 13, "77 77", "７７７７", "77a7"])
def test_a_bad_pin_is_refused_and_never_shown(bad: str) -> None:
    said = refused({}, {"KINDLE_APPLIANCE_PIN": bad})
    assert said.startswith("pin = (a secret, not shown)")
    assert "4 to 12 digits" in said and bad not in said


def test_a_key_in_place_of_its_files_path_is_refused_and_not_shown() -> None:
    said = refused({}, {"KINDLE_APPLIANCE_KEY_FILE": KEY})
    assert KEY not in said
    assert "an absolute path" in said


def test_a_misspelt_variable_is_refused_by_name() -> None:
    assert "KINDLE_APPLIANCE_PROT, from the environment, is not a setting" in refused(
        {}, {"KINDLE_APPLIANCE_PROT": "80"}
    )


@pytest.mark.parametrize("proxy", ["http://user:password@proxy:1", "http://user@proxy:1"])
def test_a_proxy_with_a_password_is_refused(proxy: str) -> None:
    assert "not allowed" in refused({}, {"KINDLE_APPLIANCE_PROXY": proxy})


def test_an_unreadable_credential_is_reported(tmp_path: Path) -> None:
    (tmp_path / "gemini-key").mkdir()
    assert "cannot be read" in refused({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("name", ["key", "GEMINI_API_KEY", "api_key", '"gemini key"', "google.key"])
def test_a_key_in_the_settings_file_is_refused_under_any_name_and_not_shown(config: Path, name: str) -> None:
    config.write_text(f'{name} = "{KEY}"\n')
    SCANNER.exempt(config)
    said = refused({}, {}, config)
    assert str(config) in said
    assert KEY not in said


def test_the_refusal_of_a_key_in_the_settings_file_names_the_right_place(config: Path) -> None:
    config.write_text(f'key = "{KEY}"\n')
    SCANNER.exempt(config)
    assert "key_file" in refused({}, {}, config)


def test_a_key_is_not_in_printed_settings() -> None:
    settings = load({}, {"GEMINI_API_KEY": KEY})
    assert settings.key == KEY
    assert KEY not in f"{settings!r} {settings}"
    shown = [option.describe(getattr(settings, option.name)) for option in OPTIONS]
    assert KEY not in shown
    assert BY_NAME["key"].describe(KEY) != BY_NAME["key"].describe(None)


# The folder of the chats


def test_the_data_folder_is_the_chosen_one_or_systemds_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = {"XDG_STATE_HOME": "/home/pi/state", "STATE_DIRECTORY": "/var/lib/first:/var/lib/second"}
    assert data_folder(load({"data": "/srv/chats"}, environment), environment) == Path("/srv/chats")
    assert data_folder(Settings(), environment) == Path("/var/lib/first")
    del environment["STATE_DIRECTORY"]
    assert data_folder(Settings(), environment) == Path("/home/pi/state/kindle-appliance")
    assert data_folder(Settings(), {}) == tmp_path / ".local" / "state" / "kindle-appliance"


# The settings file of an installed appliance


def test_the_template_explains_each_of_its_settings_and_sets_the_chosen_ones(config: Path) -> None:
    text = template({"language": "zh-CN"})
    config.write_text(text)
    settings = load({}, {}, config)
    assert settings == load({"language": "zh-CN"}, {})
    for option in OPTIONS:
        by_systemd = option.name in ("host", "port", "data", "key_file", "keys_folder", "pin_file")
        belongs = not option.secret and not by_systemd
        assert belongs == bool(re.search(f"^(# |## .* example: )?{option.name} = ", text, re.MULTILINE))
        assert not belongs or option.line in text or option.name == "language"
        assert (option.kind.allowed in text) or not belongs


def test_every_line_of_the_template_can_be_uncommented_alone_and_together_with_all_others(config: Path) -> None:
    lines = template({}).splitlines()
    changed = [index for index, line in enumerate(lines) if line.startswith("#")]
    assert len(changed) > 2 * 25
    uncommented = {index: lines[index].removeprefix("#").removeprefix(" ") for index in changed}
    names = []
    for index in changed:
        config.write_text("\n".join([*lines[:index], uncommented[index], *lines[index + 1 :]]), encoding="utf-8")
        settings = load({}, {}, config)
        names += [name for name, origin in settings.origins.items() if origin != "default"]
        if BY_NAME[names[-1]].example is None if names else False:
            assert settings == Settings()
    assert len(names) == len(set(names)) > 20, "each line with one # sets its option"
    config.write_text("\n".join(uncommented.get(index, line) for index, line in enumerate(lines)))
    together = load({}, {}, config)
    assert {name for name, origin in together.origins.items() if origin != "default"} == set(names)


def test_the_example_of_each_option_is_allowed(config: Path) -> None:
    for option in OPTIONS:
        if option.secret:
            continue
        config.write_text(f"{option.line}\n")
        if option.kind is SECRET_PATH:
            with pytest.raises(SettingsError, match=f" {option.example} cannot be read"):
                load({}, {}, config)
        else:
            assert load({}, {}, config).origins[option.name] == str(config)


# A settings file that is not valid


def excerpt(config: Path, text: str | bytes) -> list[str]:
    """What the owner sees below the sentence, line by line."""
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as error:
        load({}, {}, config)
    SCANNER.scan("output", error.value.excerpt)
    SCANNER.exempt(config)
    return error.value.excerpt.splitlines()


# The faulty file, the number of its faulty line, the faulty place in it, and a right line.
FAULTS = {
    "a wrong type": ('mdns = true\nport = "http"\n', 2, '"http"', "port = 8080"),
    "a value out of range": ("text_size = 9", 1, "9", "text_size = 48"),
    "a misspelt word": ('# Language\n\nlanguage = "german"', 3, '"german"', 'language = "auto"'),
    "no quotes": ("language = en\n", 1, "en", 'language = "auto"'),
    "a colon": ("port: 80", 1, ": 80", "port = 8080"),
    "no equals sign": ("port 80", 1, "80", "port = 8080"),
    "no value": ("mdns = true\nport = \n", 2, "", "port = 8080"),
    "twice": ("port = 80\nname = 'a'\nport = 81", 3, "port", None),
    "an open text": ('name = "kindle\nport = 80', 1, "", 'name = "kindle"'),
    "an open list": ('hosts = ["a.home",\n', 1, "", 'hosts = ["books.home.arpa"]'),
    "a missing comma": ('hosts = [\n  "a.home"\n  "b.home"\n]\n', 3, '"b.home"', None),
    "an unknown name": ("# a\nprot = {}", 2, "prot", "port = 8080"),
    "a table": ("[port]\nnumber = 80", 1, "]", "port = 8080"),
    "a name in quotes": ('"port" = 0', 1, "0", "port = 8080"),
    "no example set": ("temperature = 9", 1, "9", "temperature = 1.0"),
    "the same words in a text": ('system_instruction = """\nport = 1\n"""\nport = 0', 4, "0", "port = 8080"),
    "with line ends of Windows": ('mdns = true\r\nport = "a"\r\n', 2, '"a"', "port = 8080"),
    "too much for a device": ("device_questions_per_day = 301", 1, "301", "device_questions_per_day = 100"),
    "both ways to think": ('thinking_level = "low"\nthinking_budget = 0', 2, "0", "thinking_budget = 1024"),
    "a Gemini that others could overhear": (
        'gemini_url = "http://a.de"',
        1,
        '"http://a.de"',
        'gemini_url = "https://generativelanguage.googleapis.com"',
    ),
    "another encoding": (b'mdns = true\nname = "b\xfccher"', 2, "\ufffdcher", 'name = "kindle"'),
}


@pytest.mark.parametrize(("text", "line", "place", "right"), FAULTS.values(), ids=FAULTS)
def test_the_faulty_line_is_shown_with_the_place_in_it_and_a_right_example(
    config: Path, text: str | bytes, line: int, place: str, right: str | None
) -> None:
    shown = excerpt(config, text)
    assert shown[0] == f"Line {line} of {config}:"
    expected = (text if isinstance(text, str) else text.decode(errors="replace")).splitlines()[line - 1]
    assert shown[1] == f"    {expected.replace('{}', '**')}", "under an unknown name may be the key"
    assert re.fullmatch(" {4,}\\^", shown[2])
    assert shown[1][shown[2].index("^") :].startswith(place)
    assert right is None or shown[-2:] == ["A right line, for example:", f"    {right}"]


def test_the_place_in_a_line_with_wide_characters_is_under_the_fault(config: Path) -> None:
    shown = excerpt(config, 'name = "书" x')
    assert [len(each) for each in shown[1:3]] == [len('    name = "书" x'), len('    name = "书" ^')]
    assert shown[2].count("\u3000") == 1, "a space as wide as the character"


def test_a_long_line_is_shown_around_its_fault(config: Path) -> None:
    shown = excerpt(config, f'system_instruction = "{"a" * 500}" b{"c" * 500}')
    assert len(shown[1]) < 110
    assert shown[1][shown[2].index("^")] == "b"


def test_a_line_moves_no_cursor(config: Path) -> None:
    shown = excerpt(config, 'name = "\x1b[2Jx"')
    assert all(each.isprintable() for each in shown)


SECRET_LINES = {
    "a key": f'key = "{KEY}"',
    "without quotes": f"GEMINI_API_KEY={KEY}",
    "exported": f"export GEMINI_API_KEY={KEY}",
    "alone": KEY,
    "alone, in quotes": f'"{KEY}"',
    "another name": f'api_key = "{KEY}"',
    "in a table": f'[google]\nkey = "{KEY}"\nkey = 1',
    "in the place of a file": f'key_file = "{KEY}"',
    "where a text is": f'system_instruction = "{KEY}" b',
    "on a line of its own": f'api_key = """\n{KEY}\n"""',
    "in a list": f'api_keys = [\n"{KEY}"\n"b"]',
    "as a name": f'"{KEY}" = 1',
    "as a value": f'language = "{KEY}"',
    "a PIN": f"pin = {PIN}",
    "a PIN in quotes": f'pin = "{PIN}"',
    "a password": 'proxy = "http://owner:' + PIN + '@proxy:1"',
    "a password with a slash": 'proxy = "http://owner:a/' + PIN + '@proxy:1"',
    "a password without scheme": 'proxy = "owner:' + PIN + '@proxy:1"',
    "a password without quotes": f"proxy = http://owner:a b{PIN}@proxy:1",
}


@given(st.data())
def test_a_key_at_any_place_of_a_settings_file_is_never_shown(data: st.DataObject) -> None:
    lines = [option.line for option in OPTIONS if not option.secret] + [
        "key = 'x'",
        "[a]",
        "b = [",
        "'c',",
        "]",
        "x",
    ]
    chosen = data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=5))
    text = "\n".join(chosen)
    at = data.draw(st.integers(0, len(text)))
    quote = data.draw(st.sampled_from(["", "'", '"', "\n"]))
    with TemporaryDirectory() as folder:
        config = Path(folder) / "settings.toml"
        config.write_text(text[:at] + quote + KEY + quote + text[at:], encoding="utf-8")
        try:
            load({}, {}, config)
        except SettingsError as error:
            assert KEY not in f"{error}\n{error.excerpt}"


@pytest.mark.parametrize("text", SECRET_LINES.values(), ids=SECRET_LINES)
def test_a_secret_in_a_faulty_line_is_masked(config: Path, text: str) -> None:
    shown = "\n".join(excerpt(config, text))
    assert "Line " in shown
    assert KEY not in shown and PIN not in shown
    assert not re.search(re.escape(KEY[:8]), shown)
