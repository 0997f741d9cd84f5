"""The options: one table drives flags, environment, file, documentation, validation and masking.

Each field of `Settings` is one option. A value comes from, in this order: the command line, the environment,
the settings file (TOML), the default. A value that is not allowed stops the program before it starts, with a
sentence that names the key, the value, where it came from and what is allowed. Nothing is read at import.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .host.network import HOUSE_NETWORKS
from .host.terminal import mask, mask_address
from .options import credentials, dialects
from .options.contradictions import Contradiction, check_together
from .options.credentials import KEYS, Keys
from .options.entries import EXAMPLES, MODELS, Entry, EntryError
from .options.kinds import (
    HOST,
    HOST_LABEL,
    HOSTS,
    KEY,
    MAX_OUTPUT_TOKENS,
    NETWORKS,
    PATH,
    PHRASES,
    PIN,
    SECRET_PATH,
    SWITCH,
    TEMPERATURE,
    TEXT,
    TEXT_SIZE,
    THINKING_BUDGET,
    THINKING_LEVEL,
    WEB_ADDRESS,
    Kind,
    number,
    one_of,
    whole,
)
from .options.settings_file import SettingsFile, mask_secrets
from .sentences import LANGUAGES
from .upstream.gemini import LADDER

SYSTEM_INSTRUCTION = (
    "You answer questions on a small black and white e-ink screen. Answer in the language of the question. Be"
    " short: begin with the answer itself, then only what helps to understand it. Write plain Markdown: short"
    " paragraphs, few headings, short lists; no wide tables, at most three columns. Write formulas in plain"
    " characters, such as x² ≤ √2, not in LaTeX. Never use emoji, images or HTML."
)


@dataclass(frozen=True)
class Option:
    """One row of the table."""

    name: str
    kind: Kind
    default: Any
    help: str
    flag: str | None
    env: str
    secret: bool
    directs: bool
    """Whether it decides where questions go, or who may ask: a restore changes it only if the owner agrees."""
    example: Any
    instead_of: str | None

    @property
    def line(self) -> str:
        """A right line for the settings file: with the default or, if nothing is set at first, with an example."""
        # What JSON calls a text, a number, a list or a truth is one in TOML, too.
        value = self.default if self.example is None else self.example
        if isinstance(value, tuple):
            value = [str(each) for each in value]
        return f"{self.name} = {json.dumps(value, ensure_ascii=False)}"

    def describe(self, value: object) -> str:
        """A value for people: masked if it is a secret."""
        if self.secret:
            return "(set)" if value else "(not set)"
        if isinstance(value, list | tuple):
            return ", ".join(map(str, value)) or "(none)"
        # As the file wants it: "true", not "True".
        return "(not set)" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


def _option(
    kind: Kind,
    default: Any,
    help: str,
    flag: str | None = None,
    env: str = "",
    secret: bool = False,
    example: Any = None,
    instead_of: str | None = None,
    directs: bool = False,
) -> Any:
    """`example`: an allowed value where nothing is set at first; `instead_of`: what excludes this one."""
    metadata = {"kind": kind, "help": help, "flag": flag, "env": env, "secret": secret, "directs": directs}
    metadata |= {"example": example, "instead_of": instead_of}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """The values in force, and where each came from."""

    host: str = _option(HOST, "0.0.0.0", "address to listen on", "--host")  # noqa: S104 - the house is to reach it
    port: int = _option(whole(1, 65535), 8080, "port to listen on", "--port")
    data: str | None = _option(PATH, None, "folder for the chats", "--data", example="/srv/chats", directs=True)
    gemini_url: str = _option(
        WEB_ADDRESS,
        "https://generativelanguage.googleapis.com",
        "address of the Gemini API, or of a server that stands in for it",
        "--gemini-url",
        directs=True,
    )
    mdns: bool = _option(SWITCH, True, "announce the appliance on the network", "--no-mdns")
    name: str = _option(HOST_LABEL, "kindle", "name of the appliance on the network, without .local", "--name")
    demo: bool = _option(SWITCH, False, "answer with built-in examples instead of asking a model", "--demo")
    key: str | None = _option(KEY, None, "Gemini API key", env="GEMINI_API_KEY", secret=True, directs=True)
    key_file: str | None = _option(
        SECRET_PATH, None, "file that holds only the key for Gemini", example="/etc/gemini-key", directs=True
    )
    keys: Mapping[str, str] = _option(
        KEYS, Keys(), "keys of other model servers, each with the server's address", secret=True, directs=True
    )
    keys_folder: str | None = _option(
        SECRET_PATH,
        None,
        "folder with a file for the key of each other model server",
        example="/etc/model-keys",
        directs=True,
    )
    pin: str | None = _option(
        PIN, None, "PIN that each browser is asked for once a year (not set: no PIN)", secret=True, directs=True
    )
    pin_file: str | None = _option(
        SECRET_PATH, None, "file that holds only the PIN", example="/etc/kindle-pin", directs=True
    )
    networks: tuple[str, ...] = _option(
        NETWORKS, HOUSE_NETWORKS, "networks whose devices may connect, besides this machine itself", directs=True
    )
    hosts: tuple[str, ...] = _option(
        HOSTS,
        (),
        "further names and addresses that browsers may use; own names and addresses in networks always work",
        example=["books.home.arpa"],
        directs=True,
    )
    proxies: tuple[str, ...] = _option(
        NETWORKS, (), "reverse proxies whose X-Forwarded-For, -Host and -Proto headers are trusted", directs=True
    )
    language: str = _option(one_of("auto", *LANGUAGES), "auto", "language of the pages (auto: the browser's)")
    text_size: int = _option(TEXT_SIZE, 48, "text size until a reader chooses another one with Aa")
    starters: tuple[str, ...] | None = _option(
        PHRASES,
        None,
        "beginnings of questions on the start page, instead of the built-in ones",
        example=["Explain in simple words: ", "Who was "],
    )
    follow_ups: tuple[str, ...] | None = _option(
        PHRASES,
        None,
        "questions below an answer, sent with one tap, instead of the built-in ones",
        example=["Shorter, please", "Give an example"],
    )
    models: tuple[Entry, ...] = _option(
        MODELS,
        tuple(map(Entry, LADDER)),
        "models to ask, the best first; if one cannot answer, the next is asked",
        directs=True,
    )
    system_instruction: str = _option(TEXT, SYSTEM_INSTRUCTION, "instruction that a model gets with every question")
    temperature: float | None = _option(
        TEMPERATURE,
        None,
        "how freely models choose their words (0: least; not set: as their servers do)",
        example=1.0,
    )
    max_output_tokens: int = _option(
        MAX_OUTPUT_TOKENS,
        8192,
        "greatest length of an answer in tokens; servers other than Gemini count what a model thinks, too",
    )
    thinking_level: str | None = _option(
        THINKING_LEVEL,
        None,
        "how much Gemini's models think (not set: as little as each can; not all of them accept every level)",
        example="low",
    )
    thinking_budget: int | None = _option(
        THINKING_BUDGET,
        None,
        "tokens for thinking, for Gemini's models without levels (-1: the model decides)",
        example=1024,
        instead_of="thinking_level",
    )
    history_characters: int = _option(
        whole(5000, 1_000_000), 24_000, "characters of the chat's history that a model gets with a question"
    )
    questions_per_minute: int = _option(whole(1, 1000), 6, "questions that one device may ask in a minute")
    device_questions_per_day: int | None = _option(
        whole(1, 100_000),
        None,
        "questions that one device may ask in a day (not set: as many as the house)",
        example=100,
    )
    questions_per_day: int = _option(whole(1, 100_000), 300, "questions that the whole house may ask in a day")
    books: int = _option(whole(1, 5000), 500, "books that the shelf takes")
    books_megabytes: int = _option(
        whole(1, 1_000_000), 4000, "room that the books take, with the index of their words, in megabytes"
    )
    proxy: str | None = _option(
        WEB_ADDRESS,
        None,
        "proxy between the appliance and model servers outside the house",
        example="http://proxy.home.arpa:3128",
        directs=True,
    )
    connect_seconds: float = _option(
        number(0.1, 600), 10.0, "longest wait for a connection to a model server, in seconds"
    )
    first_byte_seconds: float = _option(
        number(0.1, 3600), 300.0, "longest wait until an answer begins, in seconds, whatever is asked meanwhile"
    )
    progress_seconds: float = _option(number(0.1, 3600), 90.0, "longest silence within an answer, in seconds")
    followers: int = _option(
        whole(1, 500), 32, "open pages that get an answer as a stream; further pages ask every two seconds"
    )
    log_level: str = _option(
        one_of("debug", "info", "warning", "error"), "info", "lowest level of events in the log"
    )
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


OPTIONS: tuple[Option, ...] = tuple(
    Option(
        name=each.name,
        kind=each.metadata["kind"],
        default=each.default,
        help=each.metadata["help"],
        flag=each.metadata["flag"],
        env=each.metadata["env"] or f"KINDLE_APPLIANCE_{each.name.upper()}",
        secret=each.metadata["secret"],
        directs=each.metadata["directs"],
        example=each.metadata["example"],
        instead_of=each.metadata["instead_of"],
    )
    for each in fields(Settings)
    if each.metadata
)


def load(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    config: Path | None = None,
    with_secrets: bool = True,
) -> Settings:
    """The settings in force. `flags`: option name to the value on the command line, None where it was not given.
    `config`: the settings file, which must exist if it is named; else the one that systemd hands over, if any.
    `with_secrets`: whether those are looked for that lie in files of their own.

    Raises `SettingsError`.
    """
    known = {option.env for option in OPTIONS} | {"KINDLE_APPLIANCE_CONFIG"}
    for name in environment:
        if name.startswith("KINDLE_APPLIANCE_") and name not in known:
            raise SettingsError(
                f"{name}, from the environment, is not a setting. Allowed are: {', '.join(sorted(known))}."
            )
    config = config or credentials.find(credentials.SETTINGS_CREDENTIAL, environment)
    file, from_file = _read_file(config) if config else (None, {})
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        value, origin = option.default, "default"
        if flags.get(option.name) is not None:
            value, origin = flags[option.name], f"the command line, {option.flag}"
        elif environment.get(option.env):
            value, origin = environment[option.env], f"the environment, {option.env}"
        elif option.name in from_file:
            value, origin = from_file[option.name], f"{config}"
        if file and origin == f"{config}":
            value = _from_file(option, value, file)
        elif origin != "default":
            value = _checked(option, value, origin)
        values[option.name], origins[option.name] = value, origin
    if with_secrets:
        _find_secrets(values, origins, environment)
    try:
        check_together(values, origins)
    except Contradiction as error:
        named = [name for name in error.options if file and origins[name] == f"{config}"]
        raise SettingsError(str(error), file.excerpt(named[-1]) if file and named else "") from None
    return Settings(**values, origins=origins)


def _from_file(option: Option, value: object, file: SettingsFile) -> object:
    try:
        return _parsed(option, value, file.origin(option.name))
    except EntryError as error:
        place = option.name, error.number, error.field
        settings = [each.name for each in OPTIONS if "key" not in each.name and not each.secret]
        hint = ""
        if error.field in settings and error.field not in EXAMPLES and file.is_below_table(*place[:2]):
            hint = (
                f" It stands below [[{option.name}]], so it belongs to that model. As a setting of the appliance,"
                f" put it above the first [[{option.name}]]."
            )
        excerpt = file.excerpt(*place, may_stand=bool(error.allowed))
        raise SettingsError(_wrong_entry(error, file.origin(*place), hint), excerpt) from None
    except SettingsError as error:
        raise SettingsError(str(error), file.excerpt(option.name)) from None


def _checked(option: Option, value: object, origin: str) -> object:
    try:
        return _parsed(option, value, origin)
    except EntryError as error:
        raise SettingsError(_wrong_entry(error, origin)) from None


def _wrong_entry(error: EntryError, origin: str, hint: str = "") -> str:
    """The sentence about a wrong entry of the list of models: where, what is wrong, understood and allowed."""
    named = f"Entry {error.number} of models" if error.number else "models"
    understood = f" Understood was: {mask_secrets(error.understood)}." if error.understood else ""
    allowed = f" Allowed is {error.allowed}." if error.allowed else ""
    return f"{named}, from {origin}, is not allowed: {mask_secrets(str(error))}.{hint}{understood}{allowed}"


def _parsed(option: Option, value: object, origin: str) -> object:
    kind = option.kind
    try:
        parsed = kind.parse(value.strip()) if isinstance(value, str) else kind.read(value)
        if kind is MODELS:
            dialects.check_entries(parsed)
    except EntryError:
        raise
    except (ValueError, KeyError):
        raise _not_allowed(option, value, origin) from None
    if not option.kind.accepts(parsed):
        raise _not_allowed(option, value, origin)
    return tuple(parsed) if isinstance(parsed, list) else parsed


def _not_allowed(option: Option, value: object, origin: str) -> SettingsError:
    # Some type the key where its file belongs.
    shown = "(a secret, not shown)" if option.secret or option.kind is SECRET_PATH else f"{value!r}"
    shown = mask_secrets((mask_address if option.kind is WEB_ADDRESS else mask)(shown))[:200]
    return SettingsError(
        f"{option.name} = {shown}, from {origin}, is not allowed. Allowed is {option.kind.allowed}."
    )


def _read_file(path: Path) -> tuple[SettingsFile, dict[str, Any]]:
    known = {option.name: option for option in OPTIONS}
    examples = {name: option.line for name, option in known.items() if not option.secret}
    hidden = frozenset(name for name, option in known.items() if option.kind is SECRET_PATH)
    file = SettingsFile.read(path, examples, hidden, {"models": EXAMPLES})
    values = file.parse()
    for name in values:
        if name not in known:  # its value is not shown: it may be the key under another name
            raise SettingsError(
                f"{mask_secrets(name)}, from {file.origin(name)}, is not a setting."
                f" Allowed are: {', '.join(sorted(known))}.",
                file.excerpt(name),
            )
        if known[name].secret:
            raise SettingsError(
                f"{name}, from {file.origin(name)}, does not belong in the settings file: put it into a file of"
                f" its own that only you can read, and name that as {name}_file.",
                file.excerpt(name),
            )
    return file, values


def _find_secrets(values: dict[str, Any], origins: dict[str, str], environment: Mapping[str, str]) -> None:
    """The secrets that are not in the environment: from the files that the settings name, or from systemd. An empty
    file means that there is none.
    """
    for name, credential in credentials.CREDENTIALS.items():
        named = values[f"{name}_file"]
        path = Path(named) if named else credentials.find(credential, environment)
        if values[name] is None and path and (text := credentials.read(name, path)):
            option = next(option for option in OPTIONS if option.name == name)
            values[name], origins[name] = _checked(option, text, str(path)), str(path)
    if not values["keys"]:
        named = values["keys_folder"]
        keys, origin = credentials.read_keys(Path(named) if named else None, environment)
        values["keys"], origins["keys"] = keys, origin or origins["keys"]


def data_folder(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where the chats are kept: as set, else systemd's state directory, else the user's own (XDG Base Directory
    Specification 0.8).
    """
    if settings.data:
        return Path(settings.data)
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].partition(os.pathsep)[0])
    state = environment.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        return Path(state) / "kindle-appliance"
    try:
        return Path.home() / ".local" / "state" / "kindle-appliance"
    except RuntimeError:
        raise SettingsError("data is not set, and this user has no home. Name a folder with --data.") from None
