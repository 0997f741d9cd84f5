"""The command line: `serve`, which is also the default, and the owner's commands."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from . import __version__, settings
from .appliance import serve
from .errors import OwnerError, ReaderError, SettingsError, StartError
from .host import journal, signals, terminal
from .options.credentials import CREDENTIALS
from .options.kinds import SWITCH
from .owner.installation import Installation
from .settings import Settings
from .storage.chats import check_question, clean

COMMANDS = {
    "serve": "run the appliance (also without a command)",
    "ask": "ask one question, here on the terminal",
    "doctor": "say what is wrong with the appliance, and how to mend it",
    "settings": "show every setting, its value, and where that comes from",
    "models": "show who answers, and whether each model is ready; add one, or try them all",
    "books": "show the books on the shelf; add some, or remove one",
    "key": "try a Gemini API key, or the key of another model server, and store it",
    "pin": "store the PIN that browsers are asked for",
    "backup": "write the chats and settings to a file, also while the appliance runs",
    "restore": "put back what a backup has",
}
FLAGS = {
    "ask": ("gemini_url", "demo"),
    "models": ("gemini_url",),
    "books": ("data",),
    "key": ("gemini_url",),
    "pin": (),
    "backup": ("data",),
    "restore": ("data",),
}
"""The settings for which a command has flags; a command that is not named here has them all."""


def main(arguments: Sequence[str] | None = None, on_ready: Callable[[], None] = lambda: None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 not possible, 2 a wrong command line or setting.

    `on_ready` is called when `serve` has told systemd that it serves pages.
    """
    os.umask(0o077)  # chats, keys and backups are their owner's alone, also when a user starts the program
    terminal.guard()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0] not in COMMANDS and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, "serve")
    # systemd tells the service itself where its files are, and it may not look anywhere else.
    installation = None if "CREDENTIALS_DIRECTORY" in os.environ else Installation.find(Path(sys.prefix))
    try:
        given = _parser().parse_args(arguments)
        # To systemd, a service that stops while it starts has done well.
        signals.end_by_exception(0 if given.command == "serve" else None)
        return _run(given, installation, os.environ, on_ready)
    except (SettingsError, ReaderError) as error:
        print(f"kindle-appliance: {error}", file=sys.stderr)
        if isinstance(error, SettingsError) and error.excerpt:
            print(error.excerpt, file=sys.stderr)
        return 2
    except (OwnerError, StartError) as error:
        print(f"kindle-appliance: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(
    given: argparse.Namespace,
    installation: Installation | None,
    environment: Mapping[str, str],
    on_ready: Callable[[], None],
) -> int:
    if installation:
        environment = installation.environment(environment)
    # A user without access to the settings can still ask, as every browser of the house can.
    if installation and given.command == "ask" and not installation.may_look():
        values = Settings()
    else:
        if installation:
            installation.check_rights(given.command)
        try:
            values = _load(given, environment)
        except SettingsError as error:
            if given.command != "doctor":
                raise
            from .owner import commands

            return commands.tell_of_settings(error)
    # At a terminal only the command's own output matters.
    level = values.log_level if given.command == "serve" else "error"
    journal.start(level, sys.__stderr__ or sys.stderr, _is_journal(environment))
    folder = settings.data_folder(values, environment)
    if given.command == "serve":
        serve(values, environment, on_ready)
        return 0
    return _obey(given, values, installation, folder)


def _obey(given: argparse.Namespace, values: Settings, installation: Installation | None, folder: Path) -> int:
    """Run one of the owner's commands."""
    from .owner import commands  # here, because it would stay in the memory of `serve`
    from .storage.book_files import Limits

    match given.command:
        case "ask":
            return _ask(given, values, installation, folder)
        case "doctor":
            return commands.consult_doctor(values, installation, folder, given.ask)
        case "settings":
            return commands.show_settings(values, installation)
        case "models":
            return _models(given, values, installation, folder)
        case "books":
            return _books(given, values, installation, folder)
        case "key" | "pin" as name:
            return _store_secret(name, given, values, installation)
        case "backup":
            return commands.back_up(folder, given.file, installation, given.with_secrets, given.with_books)
        case "restore":
            limits = Limits(values.books, values.books_megabytes * 1_000_000)
            return commands.restore(
                folder, given.file, installation, given.accept_settings, given.roll_back, limits
            )
    raise AssertionError(given.command)


def _models(given: argparse.Namespace, values: Settings, installation: Installation | None, folder: Path) -> int:
    from .owner import addition, commands, model_list

    match given.action:
        case "add":
            wish = addition.Wish(**{each.name: getattr(given, each.name) for each in fields(addition.Wish)})
            config = _config(given, {} if installation else os.environ)
            return addition.add_model(values, installation, config, wish, commands.teller())
        case "test":
            return model_list.try_models(values, installation is not None, commands.teller())
    return model_list.show_models(values, folder, installation is not None)


def _books(given: argparse.Namespace, values: Settings, installation: Installation | None, folder: Path) -> int:
    from .owner import books, commands

    running = commands.find_service(installation, folder, values.pin)
    shelf = books.open_shelf(running, folder, installation is not None)
    match given.action:
        case "add":
            return books.add_books(shelf, given.places)
        case "remove":
            return books.remove_book(shelf, " ".join(given.book))
    return books.show_books(shelf)


def _store_secret(name: str, given: argparse.Namespace, values: Settings, installation: Installation | None) -> int:
    from .owner import secrets

    way = {"remove": given.remove, "untried": given.untried, "restart": given.restart}
    if given.server is not None:
        return secrets.store_server_key(given.server, values, installation, given.file, **way)
    return secrets.store_secret(name, values, installation, given.file, **way)


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is connected to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    status = os.fstat(sys.stderr.fileno())
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _load(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    flags = {option.name: getattr(given, option.name, None) for option in settings.OPTIONS if option.flag}
    config = _config(given, environment)
    # A bad key does not keep a good one from being stored.
    with_secrets = given.command not in CREDENTIALS
    return settings.load(flags, environment, config, with_secrets)


def _config(given: argparse.Namespace, environment: Mapping[str, str]) -> Path | None:
    """The settings file that is named."""
    named = given.config or environment.get("KINDLE_APPLIANCE_CONFIG")
    return Path(named) if named else None


def _ask(given: argparse.Namespace, values: Settings, installation: Installation | None, folder: Path) -> int:
    """Ask the running appliance; or a model directly, if none runs or the command line says where to ask."""
    from .owner import commands

    question = clean(given.question)
    check_question(question)
    if not (given.config or given.gemini_url or given.demo):
        running = commands.find_service(installation, folder, values.pin)
        if running and (facts := running.health()):
            if installation and "version" not in facts:  # it wants a PIN that we do not know
                installation.check_rights("ask")
            return commands.ask_service(running, question)
        if installation:
            installation.check_rights("ask")
    return commands.ask(values, question)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints name only flags: any other stray word may be a secret."""

    def error(self, message: str) -> NoReturn:
        told = re.fullmatch("(unrecognized arguments: |.*ignored explicit argument )(.*)", message, re.DOTALL)
        if told:
            flags = " ".join(re.findall(r"(?<!\S)--[a-z-]+", told[2]))
            message = told[1] + (flags or "(not shown)")
            if not flags and told[1].startswith("unrecognized"):
                message = "there is a word too many; it is not shown, because it may be the key. See --help."
        super().error(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kindle-appliance", description="An appliance that puts an AI on every Kindle of the house."
    )
    parser.add_argument("--version", action="version", version=f"kindle-appliance {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="{" + ",".join(COMMANDS) + "}")
    parsers = {name: subparsers.add_parser(name, help=text, description=text) for name, text in COMMANDS.items()}
    parsers["ask"].add_argument("question")
    parsers["doctor"].add_argument(
        "--ask", action="store_true", help="ask a real question, too, of one token; it counts as one of the day"
    )
    parsers["backup"].add_argument("file", metavar="FILE", type=Path)
    parsers["backup"].add_argument("--with-secrets", action="store_true", help="with the keys and the PIN, too")
    parsers["backup"].add_argument("--with-books", action="store_true", help="with the books of the shelf, too")
    restore = parsers["restore"]
    restore.add_argument("file", metavar="FILE", type=Path)
    restore.add_argument(
        "--accept-settings",
        action="store_true",
        help="do not ask before its settings change where questions go or who may ask",
    )
    restore.add_argument(
        "--roll-back",
        action="store_true",
        help="for install.sh: only the chats, as an earlier version left them; keep nothing of those of now",
    )
    _add_models(parsers["models"])
    _add_books(parsers["books"])
    for name in CREDENTIALS:
        secret = parsers[name]
        secret.add_argument(
            "--file", metavar="FILE", type=Path, help="read it from FILE (default: the terminal, a pipe)"
        )
        secret.add_argument("--remove", action="store_true", help="have none from now on")
        secret.add_argument("--no-restart", dest="restart", action="store_false", help="do not restart the service")
        secret.set_defaults(untried=False, server=None)
    parsers["key"].add_argument("--untried", action="store_true", help="store it even if it cannot be tried")
    parsers["key"].add_argument(
        "--for",
        dest="server",
        metavar="ADDRESS",
        help="it is for the model server there, such as pc.local:11434",
    )
    for name, command in parsers.items():
        command.add_argument("--config", metavar="FILE", help="settings file (TOML)")
        for option in settings.OPTIONS:
            if option.flag and option.name in FLAGS.get(name, (option.name,)):
                _add_flag(command, option)
    return parser


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(action="")
    actions = parser.add_subparsers(dest="action", metavar="{add,test}")
    text = "find the model server at an address, choose a model, try it, and put it on the list"
    add = actions.add_parser("add", help=text, description=text)
    add.add_argument("address", metavar="ADDRESS", help="such as 192.168.1.20, pc.local:11434 or https://host/v1")
    add.add_argument("--model", default="", metavar="NAME", help="take this one, and do not ask which")
    add.add_argument("--model-key-file", dest="key_file", metavar="FILE", type=Path, help="with the server's key")
    add.add_argument(
        "--context",
        metavar="TOKENS",
        type=int,
        help="its size in tokens (default: as the server says)",
    )
    add.add_argument("--first", action="store_true", help="ask it before all others (default: after them)")
    add.add_argument("--untried", action="store_true", help="store it even if it cannot be tried")
    add.add_argument("--plain-http", action="store_true", help="ask it over http, although it is outside the house")
    add.add_argument("--no-restart", dest="restart", action="store_false", help="do not restart the service")
    text = "ask each model a short question, which counts as one of the day; say how fast it answers"
    actions.add_parser("test", help=text, description=text)
    for each in actions.choices.values():
        each.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="settings file (TOML)")


def _add_books(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(action="")
    actions = parser.add_subparsers(dest="action", metavar="{add,list,remove}")
    text = "put EPUB files on the shelf, and all that are in a folder"
    add = actions.add_parser("add", help=text, description=text)
    add.add_argument("places", metavar="FILE|FOLDER", nargs="+", type=Path, help="also a calibre library")
    text = "show the books on the shelf, the newest first"
    actions.add_parser("list", help=text, description=text)
    text = "take a book from the shelf; its page can put it back for a day"
    remove = actions.add_parser("remove", help=text, description=text)
    remove.add_argument(
        "book",
        metavar="NAME",
        nargs="+",
        help="its title, or as much of that as is needed; or its short name, with which the list begins",
    )
    for each in actions.choices.values():
        each.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="settings file (TOML)")
        each.add_argument("--data", metavar="DATA", default=argparse.SUPPRESS, help="folder for the chats")


def _add_flag(command: argparse.ArgumentParser, option: settings.Option) -> None:
    if option.flag is None:
        return
    if option.kind is SWITCH:
        is_denial = option.flag.startswith("--no-")
        value, explained = ("false", f"do not {option.help}") if is_denial else ("true", option.help)
        command.add_argument(option.flag, dest=option.name, action="store_const", const=value, help=explained)
    else:
        default = "" if option.default is None else f" (default: {option.describe(option.default)})"
        command.add_argument(
            option.flag, dest=option.name, metavar=option.name.upper(), help=f"{option.help}{default}"
        )


if __name__ == "__main__":
    sys.exit(main())
