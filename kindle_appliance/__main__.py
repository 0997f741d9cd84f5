"""The command line: `serve` (what is done without a command) and `ask`."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from . import __version__, settings
from .appliance import needs_demo, open_ladder, serve
from .chats import check_question, clean
from .ending import Finish
from .errors import OwnerError, ReaderError, SettingsError, StartError
from .installation import Installation
from .ladder import Message

COMMANDS = ("serve", "ask")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 not possible, 2 a wrong command line or setting."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0] not in COMMANDS and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, "serve")
    given = _parser().parse_args(arguments)
    flags = {option.name: getattr(given, option.name, None) for option in settings.OPTIONS if option.flag}
    environment: Mapping[str, str] = os.environ
    installation = Installation.find(Path(sys.prefix))
    try:
        if installation:
            environment = installation.environment(os.environ)
            installation.check_rights(given.command)
        config = given.config or environment.get("KINDLE_APPLIANCE_CONFIG")
        values = settings.load(flags, environment, Path(config) if config else None)
        # Someone who asks on the terminal wants the answer there and nothing else.
        level = "error" if given.command == "ask" else values.log_level
        logging.basicConfig(level=level.upper(), format="%(levelname)s %(message)s", stream=sys.stderr)
        if given.command == "ask":
            return _ask(values, given.question)
        serve(values, environment)
    except (SettingsError, ReaderError) as error:
        print(f"kindle-appliance: {error}", file=sys.stderr)
        return 2
    except (OwnerError, StartError) as error:
        print(f"kindle-appliance: {error}", file=sys.stderr)
        return 1
    return 0


def _ask(values: settings.Settings, question: str) -> int:
    """Stream one answer to the terminal."""
    question = clean(question)
    check_question(question)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a character shows another
    with ExitStack() as stops:
        climb = open_ladder(values, stops).ask([Message("user", question)])
        if needs_demo(values):
            print("(a demo answer)", file=sys.stderr)
        try:
            for text in climb:
                print(text, end="", flush=True)
            print()
        except KeyboardInterrupt:
            climb.cancel()
        except BrokenPipeError:  # as with `| head`; Python would complain once more when it closes stdout
            climb.cancel()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        ending = climb.ending
        if ending is None or ending.finish in (Finish.COMPLETE, Finish.STOPPED):
            return 0
        print(f"kindle-appliance: {ending.note}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kindle-appliance", description="An appliance that puts Gemini on every Kindle of the house."
    )
    parser.add_argument("--version", action="version", version=f"kindle-appliance {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="{serve,ask}")
    serving = commands.add_parser("serve", help="run the appliance (also without a command)")
    asking = commands.add_parser("ask", help="ask one question, here on the terminal")
    asking.add_argument("question")
    for command in (serving, asking):
        command.add_argument("--config", metavar="FILE", help="settings file (TOML)")
        for option in settings.OPTIONS:
            if option.flag and (command is serving or option.name in ("gemini_url", "demo")):
                _add_flag(command, option)
    return parser


def _add_flag(command: argparse.ArgumentParser, option: settings.Option) -> None:
    if option.flag is None:
        return
    if option.kind is settings.SWITCH:
        value = "false" if option.flag.startswith("--no-") else "true"
        command.add_argument(option.flag, dest=option.name, action="store_const", const=value, help=option.help)
    else:
        shown = option.describe(option.default)
        command.add_argument(
            option.flag, dest=option.name, metavar=option.name.upper(), help=f"{option.help} (default: {shown})"
        )


if __name__ == "__main__":
    sys.exit(main())
