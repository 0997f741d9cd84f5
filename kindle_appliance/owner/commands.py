"""The owner's commands: what each does and prints. A command that cannot be carried out raises with a sentence."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from .. import __version__, secret
from ..conversation import Question
from ..ending import Finish
from ..errors import OwnerError, SettingsError, StartError
from ..host.mdns import resolve
from ..host.network import EVERYWHERE, addresses
from ..host.terminal import give_up_stdout, mask, one_line
from ..sentences import ENGLISH
from ..settings import OPTIONS, Settings
from ..storage import backup
from ..storage.lock import announced_url
from ..upstream.call import Clocks
from ..upstream.catalogue import fetch_catalogue
from ..upstream.fallback import Waiting
from . import belongings, credential, service
from .doctor import Finding, Patient, Verdict, examine
from .installation import SOCKET, Installation
from .models import needs_demo, open_fallback, open_rungs
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
        generation = open_fallback(values, stops).ask(asked, _tell)
        stops.callback(generation.cancel)
        if needs_demo(values):
            print("(a demo answer)", file=sys.stderr)
        if not _print(generation):
            return 1
        ending = generation.ending
        if ending is None or ending.finish in (Finish.COMPLETE, Finish.STOPPED):
            return 0
        print(f"kindle-appliance: {ending.words(ENGLISH)}", file=sys.stderr)
        return 1


def _tell(waiting: Waiting) -> None:
    """Print a retry delay to stderr, apart from the answer; a thinking model is no news at a terminal."""
    if waiting.is_delay:
        print(f"({waiting.sentence()})", file=sys.stderr)


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


def store_secret(
    name: str,
    values: Settings,
    installation: Installation | None,
    file: Path | None,
    *,
    remove: bool,
    untried: bool,
    restart: bool,
) -> int:
    """Try the `key` or the `pin`, and store it where the service reads it."""
    named = getattr(values, f"{name}_file")
    told = name.upper() if name == "pin" else name
    if not named and not installation:
        option = next(option for option in OPTIONS if option.name == name)
        raise StartError(
            f"this appliance is not installed, so it has no place for a {told}. Set {option.env} when you start it,"
            f" or name a file for the {told} with the setting {name}_file."
        )
    place = Path(named) if named or not installation else installation.secret(name)
    new = ""
    if not remove:
        new = _read_secret(name, file)
        kind = next(option.kind for option in OPTIONS if option.name == name)
        if not kind.accepts(new):
            raise StartError(f"that is not a {told}: it has to be {kind.allowed}. Nothing was changed.")
        if name == "key":
            print(_try_key(values, new, untried), flush=True)
    try:
        is_new = credential.store(place, new)
    except OSError as error:
        raise StartError(f"{place} cannot be written: {error.strerror}.") from error
    if not is_new:
        print(f"There is no {told} anyway." if remove else f"{place} has this {told} already.")
    elif remove:
        print(f"The {told} was removed from {place}.")
    else:
        print(f"The {told} was stored in {place}.")
    if is_new and restart and not (installation and service.restart()):
        print("Restart the appliance, so that the change takes effect.")
    return 0


def _read_secret(name: str, file: Path | None) -> str:
    """Read a secret from a file, a pipe, or the terminal without echo."""
    told = name.upper() if name == "pin" else name
    try:
        if file:
            given = secret.read(file)
        elif sys.stdin.isatty():
            given = getpass.getpass(f"The {told} (it is not shown): ")
        else:
            given = sys.stdin.read(secret.MOST_BYTES).removeprefix("\ufeff")
    except OSError as error:
        raise StartError(f"{file or 'what was given'} cannot be read: {error.strerror}.") from error
    except EOFError:
        given = ""
    found = secret.parse(given)
    if not found:
        raise StartError(f"no {told} was given. Nothing was changed. To have none: {name} --remove")
    return found


def _try_key(values: Settings, key: str, untried: bool) -> str:
    """Try a key at the model server, and return what to print.

    Raises `StartError` if the server refuses it, or cannot be asked and `untried` does not allow that.
    """
    rung = open_rungs(values, short_clocks(values), key)[0]
    with closing(rung.place.upstream):
        catalogue = fetch_catalogue(rung.dialect, rung.place)
    if catalogue.error is None:
        return f"{rung.provider} accepts the key and offers {len(catalogue.models)} models."
    said = str(catalogue.error).replace(key, "***")
    if isinstance(catalogue.error, OwnerError):
        raise StartError(f"{catalogue.error.for_owner().replace(key, '***')} Nothing was changed.")
    if not untried:
        raise StartError(
            f"the key could not be tried: {said} Nothing was changed. To store it all the same: --untried"
        )
    return f"The key could not be tried: {said}"


def short_clocks(values: Settings) -> Clocks:
    """Clocks for a request that needs no thinking."""
    seconds = values.connect_seconds
    return Clocks(seconds, seconds, seconds)


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
        () if needs_demo(values) else open_rungs(values, short_clocks(values), values.key or ""),
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


def back_up(folder: Path, file: Path, installation: Installation | None, with_secrets: bool) -> int:
    """Write one file with the chats, an installed appliance's settings and, on request, its secrets."""
    with _told_of_files():
        contents = belongings.gather(installation, with_secrets) if installation else {}
        found, left_out = backup.back_up(folder, file, contents)
        size = file.stat().st_size / 1e6
    print(f"{file}: {found.rows} chats{''.join(f', {name}' for name in contents)}; {size:.1f} MB.")
    _tell_left_out(left_out)
    return 0


def restore(folder: Path, file: Path, installation: Installation | None, accepts: bool, as_it_was: bool) -> int:
    """Restore a backup while the service is stopped.

    `accepts`: agree to all that its settings change. `as_it_was`: see `backup.restore`.
    """
    with _told_of_files():
        backup.check(file, folder, belongings.NAMES)  # before the service is stopped for it
        with service.stopped() if installation else nullcontext():
            contents, left_out = backup.restore(file, folder, belongings.NAMES, as_it_was)
            kept = "" if as_it_was else f" What was there is in {folder / backup.KEPT}."
            print(f"The chats are those of {file} now.{kept}")
            _tell_left_out(left_out)
            if installation and not as_it_was:
                for said in belongings.bring_back(installation, contents, partial(_agree, accepts)):
                    print(said)
    return 0


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
