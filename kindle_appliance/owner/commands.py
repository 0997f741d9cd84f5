"""The owner's commands: what each does and prints. A command that cannot be carried out raises with a sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from .. import __version__
from ..conversation import Question
from ..ending import Finish
from ..errors import SettingsError, StartError
from ..host.mdns import resolve
from ..host.network import EVERYWHERE, addresses
from ..host.terminal import give_up_stdout, mask, one_line
from ..sentences import ENGLISH, joined
from ..settings import OPTIONS, Settings
from ..storage import backup
from ..storage.book_files import Limits
from ..storage.lock import announced_url
from ..upstream.waiting import Tell, Waiting
from ..web.credit import answered_by
from . import belongings, service
from .doctor import Finding, Patient, Verdict, examine
from .installation import SOCKET, Installation
from .models import needs_demo, open_fallback, open_rungs, short_clocks
from .service import Service

_SHOWN_CHARACTERS = 60


def find_service(installation: Installation | None, folder: Path, pin: str | None) -> Service | None:
    """A possibly running appliance: at systemd's socket, or where the holder of `folder` announced itself."""
    url = service.installed_url() if installation else announced_url(folder)
    return Service(url, pin) if url else None


def ask_service(running: Service, question: str) -> int:
    """Stream an answer of the running appliance to the terminal; the appliance does not store it."""
    if (running.health() or {}).get("demo"):
        print("(a demo answer)", file=sys.stderr)
    with closing(running.ask(question)) as texts:
        return 0 if _print(texts) else 1


def ask(values: Settings, question: str) -> int:
    """Ask a model without the appliance, and stream the answer to the terminal."""
    with ExitStack() as stops:
        asked = Question(question, instruction=values.system_instruction)
        generation = open_fallback(values, stops).ask(asked, teller())
        stops.callback(generation.cancel)
        if needs_demo(values):
            print("(a demo answer)", file=sys.stderr)
        if not _print(generation):
            return 1
        ending = generation.ending
        if ending is None or ending.finish in (Finish.COMPLETE, Finish.STOPPED):
            return 0
        said = joined(filter(None, (ending.note, answered_by(ending))), ENGLISH)
        print(f"kindle-appliance: {said}", file=sys.stderr)
        return 1


def teller() -> Tell:
    """Prints a retry delay to stderr, apart from the answer, once; a thinking model is no news at a terminal."""
    told = ""

    def tell(waiting: Waiting) -> None:
        nonlocal told
        if waiting.is_delay and (said := str(waiting.sentence())) != told:
            told = said
            print(f"({said})", file=sys.stderr)

    return tell


def _print(texts: Iterable[str]) -> bool:
    """Print each text as it comes; False if the terminal or the pipe's reader has gone. Ctrl-C ends it cleanly."""
    has_text = False
    try:
        for text in texts:
            print(text, end="", flush=True)
            has_text = True
    except KeyboardInterrupt:
        pass
    except OSError:  # as with `| head`
        give_up_stdout()
        return False
    finally:
        if has_text:
            try:
                print(flush=True)
            except OSError:
                give_up_stdout()
    return True


def show_settings(values: Settings, installation: Installation | None = None) -> int:
    """Print every setting, its value in force, and the origin of that value. The port of an installed appliance is
    that of systemd's socket, unless the command line asks about another.
    """
    socket_url = service.installed_url() if installation else None
    if socket_url and not values.origins["port"].startswith("the command line"):
        port = urlsplit(socket_url).port or 80
        values = replace(values, port=port, origins={**values.origins, "port": f"systemd, {SOCKET}"})
    widest = max(len(option.name) for option in OPTIONS)
    for option in OPTIONS:
        shown = mask(" ".join(option.describe(getattr(values, option.name)).split()))
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[: _SHOWN_CHARACTERS - 3] + "..."
        print(one_line(f"{option.name:<{widest}}  {shown:<{_SHOWN_CHARACTERS}}  {values.origins[option.name]}"))
    return 0


def tell_of_settings(error: SettingsError) -> int:
    """Print the doctor's only finding when the settings cannot be read."""
    print(Finding(Verdict.FAILURE, "settings", str(error), "The rest can be looked at when that is mended."))
    if error.excerpt:
        print(error.excerpt)
    return 1


def consult_doctor(values: Settings, installation: Installation | None, folder: Path, asks: bool) -> int:
    """Print a line for each thing that matters; 1 if one of them has failed. `asks`: ask a real question, too."""
    patient = Patient(
        __version__,
        values,
        folder,
        () if needs_demo(values) else open_rungs(values, short_clocks(values)),
        find_service(installation, folder, values.pin),
        installation is not None,
        next(iter(addresses(EVERYWHERE[0])), None),
        resolve,
        asks,
    )
    has_failed = False
    for finding in examine(patient):
        print(finding, flush=True)
        has_failed |= finding.verdict is Verdict.FAILURE
    return 1 if has_failed else 0


def back_up(
    folder: Path, file: Path, installation: Installation | None, with_secrets: bool, with_books: bool = False
) -> int:
    """Write one file with the chats, an installed appliance's settings and, on request, its secrets and books."""
    with _told_of_files():
        contents = belongings.gather(installation, with_secrets) if installation else {}
        saved = backup.back_up(folder, file, contents, with_books)
        size = file.stat().st_size / 1e6
    books = [f"{saved.books} books"] if with_books else []
    print(f"{file}: {', '.join([f'{saved.chats.rows} chats', *books, *contents])}; {size:.1f} MB.")
    _tell_left_out(saved.left_out)
    if saved.bad_books:
        print(f"{saved.bad_books} books were left out: their files are damaged, or no files. Add them again.")
    if saved.others:
        print(f"The {saved.others} books are not in it. With them: backup --with-books FILE")
    return 0


def restore(
    folder: Path, file: Path, installation: Installation | None, accepts: bool, as_it_was: bool, limits: Limits
) -> int:
    """Restore a backup while the service is stopped.

    `accepts`: agree to all that its settings change. `as_it_was`: see `backup.restore`. `limits`: of the shelf.
    """
    with _told_of_files():
        backup.check(file, folder, belongings.NAMES, limits)  # before the service is stopped for it
        with service.stopped() if installation else nullcontext():
            restored = backup.restore(file, folder, belongings.NAMES, as_it_was, limits)
            kept = "" if as_it_was else f" What was there is in {folder / backup.KEPT}."
            print(f"The chats are those of {file} now.{kept}")
            _tell_left_out(restored.left_out)
            if not as_it_was:
                _tell_of_books(**restored.books)
            if installation and not as_it_was:
                for said in belongings.bring_back(installation, restored.belongings, partial(_agree, accepts)):
                    print(said)
    return 0


def _tell_of_books(new: int, present: int, bad: int, crowded: int) -> None:
    if new or present:
        there = f", and {present} were there already" if present else ""
        print(f"{new} books were put on the shelf{there}. The appliance reads new ones when it starts.")
    if bad:
        print(f"{bad} books were left out: they are damaged in the backup.")
    if crowded:
        print(f"{crowded} books were left out: the shelf is full. See `books` in the settings.")


def _tell_left_out(rows: int) -> None:
    if rows:
        print(f"{rows} rows that cannot be chats were left out.")


def _agree(accepts: bool, changes: Sequence[str]) -> bool:
    """Show what a backup would change of where questions go and who may ask, and ask whether it shall."""
    print("The backup would change where questions go, or who may ask:", *changes, sep="\n    ", flush=True)
    if accepts:
        return True
    if not sys.stdin.isatty():
        print("That was left as it is. To change it, too: restore --accept-settings FILE")
        return False
    try:
        return input("Change that? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextmanager
def _told_of_files() -> Iterator[None]:
    """Report trouble with a file that the owner has named as a `StartError`."""
    try:
        yield
    except OSError as error:
        raise StartError(f"{error.filename or 'this machine'}: {error.strerror}.") from error
