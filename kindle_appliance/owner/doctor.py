"""The diagnosis command: one line for each check, with the problem and its remedy.

It changes nothing and shows no secret. From the owner's terminal it checks the settings, key and chats that the
service uses, and the service itself over HTTP.
"""

from __future__ import annotations

import errno
import platform
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from os import strerror
from pathlib import Path
from typing import Any

from .. import clock
from ..errors import ApplianceError, OwnerError, StartError, UpstreamUnreachable
from ..host.confinement import as_owner
from ..host.network import is_in, parse_address, parse_networks
from ..host.terminal import one_line
from ..options.server_address import ServerAddress
from ..settings import OPTIONS, Settings
from ..storage.book_files import measure
from ..storage.damage import Damage, latest_damage
from ..storage.database import SQLITE, Inspection, inspect
from ..storage.folder import BOOKS_FOLDER, CHATS_FILE, look
from ..storage.schema import CHATS
from ..upstream.catalogue import Catalogue
from ..upstream.rung import Rung
from ..upstream.trial import find_refusal
from . import models
from .service import Service

_LIBRARIES = ("bottle", "markdown-it-py", "urllib3", "waitress", "zeroconf")
_MB = 1024 * 1024
_FAILURE_DISK, _WARNING_DISK = 20 * _MB, 200 * _MB  # less free space than this
_MAKE_ROOM = "Make room, for example with: sudo apt clean."
_WARNING_MEMORY = 64 * _MB  # less free memory than this
_MAX_CLOCK_SECONDS = 60
_CERTIFICATE_TIME_ERROR = re.compile(
    "certificate is not yet valid|certificate has expired"
)  # X509_verify_cert_error_string(3)
_SET_CLOCK = "Set it: sudo timedatectl set-ntp true, or without internet sudo date -s 'YYYY-MM-DD HH:MM'."
_RESTART = (
    "Restart it: sudo systemctl restart kindle-appliance. If that is not enough: journalctl -u kindle-appliance."
)
_ANNOUNCEMENT_SECONDS = 10.0  # RFC 6762, 8.1: 0.75 s for each name that is tried; up to ten can be taken
_POLL_SECONDS = 0.25
_LOCAL_TIME = Path("/etc/localtime")


class Verdict(StrEnum):
    """The severity of a finding; only a failure changes the exit status."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was checked, the result and, if there is a problem, the remedy."""

    verdict: Verdict
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return one_line(f"{self.verdict:<8} {self.subject:<9} {self.text} {self.remedy}".rstrip())


@dataclass(frozen=True)
class Patient:
    """The appliance under examination.

    `folder`: the folder of its chats; `rungs`: the models that it asks, none for a demo; `service`: a possibly
    running service; `is_installed`: whether it is a service of systemd; `resolve`: returns the addresses that the
    house's network gives for a name; `asks`: whether a real question is asked, too.
    """

    version: str
    settings: Settings
    folder: Path
    rungs: Sequence[Rung]
    service: Service | None
    is_installed: bool
    lan_address: str | None
    resolve: Callable[[str], Collection[str]]
    asks: bool = False


def examine(patient: Patient) -> Iterator[Finding]:
    """Run all checks and yield each finding at once."""
    health = patient.service.health() if patient.service else None
    yield _versions(patient, health)
    yield _settings(patient.settings)
    yield _memory(health)
    yield _disk(patient.folder)
    yield _database(patient)
    yield _books(patient, health)
    yield _network(patient)
    yield _port(patient, health)
    yield _name(patient, health)
    catalogues = _fetch_catalogues(patient)
    yield _clock(catalogues)
    if not catalogues:
        yield _demo(patient)
    if patient.rungs and (unasked := _unasked(patient)):
        yield unasked
    for rung, catalogue in catalogues:
        has_others = any(each.error is None for _, each in catalogues if each is not catalogue)
        yield _key(patient, rung, catalogue, has_others)
        if patient.asks and not catalogue.error:
            rungs = [each for each in patient.rungs if each.place == rung.place]
            yield _answer(rungs, patient.settings.first_byte_seconds)


def examine_version(patient: Patient) -> Iterator[Finding]:
    """Run the checks whose outcome depends on the version of the program, and not on the key, the network or the
    machine. They send nothing out of the house, and take no second.
    """
    health = patient.service.health() if patient.service else None
    yield _versions(patient, health)
    yield _settings(patient.settings)
    yield _database(patient)
    yield _port(patient, health)


def _versions(patient: Patient, health: dict[str, Any] | None) -> Finding:
    try:
        libraries = "".join(f", {name} {version(name)}" for name in _LIBRARIES)
    except PackageNotFoundError as error:
        return Finding(Verdict.FAILURE, "versions", f"{error.name} is missing.", "Install the appliance again.")
    text = (
        f"kindle-appliance {patient.version}, Python {platform.python_version()}, SQLite {SQLITE}{libraries};"
        f" {platform.system()} {platform.release()} on {platform.machine()}."
    )
    running = health.get("version", patient.version) if health else patient.version
    if running != patient.version:
        text = f"{running} is running, {patient.version} is installed."
        return Finding(Verdict.WARNING, "versions", text, "Restart it: sudo systemctl restart kindle-appliance.")
    return Finding(Verdict.OK, "versions", text)


def _settings(settings: Settings) -> Finding:
    named = [option.name for option in OPTIONS if settings.origins.get(option.name, "default") != "default"]
    return Finding(Verdict.OK, "settings", f"set: {', '.join(named) or 'none'}; the others have their defaults.")


def _memory(health: dict[str, Any] | None) -> Finding:
    try:
        kilobytes = dict(re.findall(r"^(\w+): +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
        free, total = int(kilobytes["MemAvailable"]) * 1024, int(kilobytes["MemTotal"]) * 1024
    except (OSError, KeyError):
        return Finding(Verdict.WARNING, "memory", "this system does not tell.")
    own = health.get("memory_bytes") if health else None
    text = f"{free // _MB} of {total // _MB} MB are free" + (f"; the appliance uses {own // _MB}." if own else ".")
    if free < _WARNING_MEMORY:
        return Finding(Verdict.WARNING, "memory", text, "Other programs use too much: see `top`.")
    return Finding(Verdict.OK, "memory", text)


def _disk(folder: Path) -> Finding:
    place = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    try:
        free, number = as_owner(place, lambda access: _try_disk(access.settle()))
    except (StartError, OSError) as error:
        return _unusable("disk", error)
    text = f"{free // _MB} MB are free for {folder}."
    if number:
        is_full = number in (errno.ENOSPC, errno.EDQUOT)
        remedy = _MAKE_ROOM if is_full else "A card that has turned read-only is worn out: back up, and replace it."
        return Finding(Verdict.FAILURE, "disk", f"{folder} cannot be written to: {strerror(number)}.", remedy)
    if free < _WARNING_DISK:
        verdict = Verdict.FAILURE if free < _FAILURE_DISK else Verdict.WARNING
        return Finding(verdict, "disk", text, _MAKE_ROOM)
    return Finding(Verdict.OK, "disk", text)


def _try_disk(place: Path) -> tuple[int, int]:
    """The free bytes, and the number of the error with which a file cannot be written."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_MB // 4))
    except OSError as error:
        return shutil.disk_usage(place).free, error.errno or errno.EIO
    return shutil.disk_usage(place).free, 0


def _unusable(subject: str, error: StartError | OSError) -> Finding:
    text = str(error) if isinstance(error, StartError) else f"{error.filename}: {error.strerror}."
    return Finding(Verdict.FAILURE, subject, text, "What lies there is not the appliance's: move it away.")


def _database(patient: Patient) -> Finding:
    file = patient.folder / CHATS_FILE
    try:
        seen, told = look(patient.folder, _look_at)
    except FileNotFoundError:
        return Finding(Verdict.WARNING, "database", f"there are no chats in {patient.folder} yet.")
    except (StartError, OSError) as error:
        return _unusable("database", error)
    found, damage = Inspection(**seen), Damage(**told) if told else None
    if found.is_out_of_reach:
        remedy = "When nothing is wrong with the disk: sudo systemctl restart kindle-appliance."
        return Finding(Verdict.WARNING, "database", f"{file} cannot be looked at: {found.trouble}.", remedy)
    if found.trouble:
        return Finding(Verdict.FAILURE, "database", f"{file} is damaged: {found.trouble}.", _save(patient))
    if found.version > CHATS.version:
        text = f"{file} has schema {found.version}, this version knows {CHATS.version}."
        return Finding(Verdict.FAILURE, "database", text, "Install the newer version again.")
    text = f"{found.rows} chats, {'not ' if found.damaged else ''}intact, schema {found.version}"
    if found.damaged:
        text += f"; {found.damaged} of all questions, answers and reports can be read only in part"
    if damage:
        text += (
            f"; an earlier file was damaged, {damage.saved} questions were saved, and it was set aside as"
            f" {file.with_name(damage.file)}"
        )
    if found.damaged or damage:
        remedy = "Back up, and replace the card if that happens again."
        if damage:
            remedy += f" To delete what was set aside: sudo rm {file.parent}/{file.stem}-damaged-*."
        return Finding(Verdict.WARNING, "database", f"{text}.", remedy)
    return Finding(Verdict.OK, "database", f"{text}.")


def _look_at(chats: Path) -> list[Any]:
    damage = latest_damage(chats)
    return [asdict(inspect(chats, CHATS)), damage.facts() if damage else None]


def _save(patient: Patient) -> str:
    """What to do about a damaged database."""
    restart = "sudo systemctl restart kindle-appliance" if patient.is_installed else "start the appliance again"
    return (
        f"It sets the file aside and saves what can be read when it starts: {restart}. Or bring back a backup:"
        f" {models.command(patient.is_installed)} restore FILE."
    )


def _books(patient: Patient, health: dict[str, Any] | None) -> Finding:
    shelf, settings = patient.folder / BOOKS_FOLDER, patient.settings
    try:
        count, size = as_owner(patient.folder, lambda access: measure(access.settle() / BOOKS_FOLDER))
    except FileNotFoundError:
        count = size = 0
    except (StartError, OSError) as error:
        return _unusable("books", error)
    text = f"{count} of {settings.books} books, {size // 10**6} of {settings.books_megabytes} MB with their index"
    if health and health.get("books", "ok") != "ok":
        return Finding(Verdict.FAILURE, "books", f"{shelf} cannot be used.", _RESTART)
    if count >= settings.books or size >= settings.books_megabytes * 10**6:
        remedy = "Remove some, or let the settings `books` and `books_megabytes` allow more."
        return Finding(Verdict.WARNING, "books", f"{text}: the shelf is full.", remedy)
    return Finding(Verdict.OK, "books", f"{text}.")


def _network(patient: Patient) -> Finding:
    networks = patient.settings.networks
    if patient.lan_address is None:
        remedy = "Plug in the cable, or set up Wi-Fi: sudo nmtui, or sudo raspi-config."
        return Finding(Verdict.FAILURE, "network", "this machine has no address.", remedy)
    text = f"this machine has the address {patient.lan_address}."
    address = parse_address(patient.lan_address)
    if address is None or not is_in(address, parse_networks(networks)):
        text = f"{text[:-1]}, but only those of {', '.join(networks) or 'this machine'} may connect."
        return Finding(Verdict.WARNING, "network", text, "If that is too few, add to `networks` in the settings.")
    return Finding(Verdict.OK, "network", text)


def _port(patient: Patient, health: dict[str, Any] | None) -> Finding:
    if patient.service is not None and health is not None:
        url, outside = patient.service.url, patient.service
        if health["status"] == "failed":
            text = f"at {url} there is only a page that says that the appliance cannot start."
            return Finding(Verdict.FAILURE, "port", text, "See why: sudo journalctl -u kindle-appliance.")
        if fault := patient.service.find_page_fault():
            return Finding(Verdict.FAILURE, "port", f"{url} answers, but serves no pages: {fault}.", _RESTART)
        if patient.settings.host == "0.0.0.0" and patient.lan_address:  # noqa: S104 - compared, not bound
            outside = outside.seen_from(patient.lan_address)
        if fault := outside.find_page_fault():
            text = f"{url} serves pages, but {outside.url}, where Kindles come to, does not: {fault}."
            remedy = "Is there a firewall on this machine? Let the port through."
            return Finding(Verdict.FAILURE, "port", text, remedy)
        if health["status"] != "ok":
            text = f"pages are served at {outside.url}, but something is wrong in the appliance."
            remedy = "See the lines about the disk and the database, and: journalctl -u kindle-appliance."
            return Finding(Verdict.FAILURE, "port", text, remedy)
        return Finding(Verdict.OK, "port", f"pages are served at {outside.url}")
    if patient.is_installed:
        where = patient.service.url if patient.service else "no port of systemd's"
        remedy = "See why: systemctl status kindle-appliance.socket kindle-appliance.service."
        return Finding(Verdict.FAILURE, "port", f"the appliance does not answer ({where}).", remedy)
    try:
        socket.create_server((patient.settings.host, patient.settings.port)).close()
    except OSError as error:
        text = f"port {patient.settings.port} is not free: {error.strerror}."
        if patient.settings.origins.get("port") == "default":
            return Finding(Verdict.WARNING, "port", text, "The appliance will take another one, and say which.")
        return Finding(Verdict.FAILURE, "port", text, "Choose another with --port.")
    return Finding(Verdict.WARNING, "port", f"port {patient.settings.port} is free: the appliance is not running.")


def _name(patient: Patient, health: dict[str, Any] | None) -> Finding:
    mdns = _mdns(health)
    deadline = time.monotonic() + _ANNOUNCEMENT_SECONDS
    while patient.service and mdns.get("state") == "probing" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        mdns = _mdns(patient.service.health())
    if mdns.get("state") != "up":
        unknown_state = "it has another PIN: restart the appliance" if health else "the appliance is not running"
        because = mdns.get("reason") or mdns.get("state") or unknown_state
        verdict = Verdict.WARNING if patient.settings.mdns else Verdict.OK
        return Finding(verdict, "name", f"no name is announced ({because}).", "The address works without one.")
    name, found = mdns["name"], sorted(patient.resolve(mdns["name"]))
    if foreign := set(found) - set(mdns["addresses"]):
        text = f"{name} leads to {', '.join(sorted(foreign))}, which is another machine."
        return Finding(Verdict.WARNING, "name", text, "Choose another name with `name` in the settings.")
    if not found:
        remedy = "Is there a firewall on this machine? Let UDP port 5353 through."
        return Finding(Verdict.WARNING, "name", f"{name} is announced, but nobody answers for it.", remedy)
    return Finding(Verdict.OK, "name", f"{name} leads here, to {', '.join(found)}.")


def _mdns(health: dict[str, Any] | None) -> dict[str, Any]:
    return health.get("mdns", {}) if health else {}


def _fetch_catalogues(patient: Patient) -> list[tuple[Rung, Catalogue]]:
    """What each place offers, with a rung that is asked there."""
    at = {rung.place: rung for rung in reversed(patient.rungs)}
    return [(at[place], catalogue) for place, catalogue in models.fetch_catalogues(patient.rungs).items()]


def _clock(catalogues: Sequence[tuple[Rung, Catalogue]]) -> Finding:
    zone = str(_LOCAL_TIME.resolve()).partition("zoneinfo/")[2] or clock.face("%Z")
    text = f"here it is {clock.face('%Y-%m-%d %H:%M:%S')}, time zone {zone} (UTC{clock.face('%z')})."
    for rung, catalogue in catalogues:
        if catalogue.error and _CERTIFICATE_TIME_ERROR.search(catalogue.error.detail):
            text += f" The certificate of {rung.provider} is not valid at that time: the clock is wrong."
            return Finding(Verdict.FAILURE, "clock", text, _SET_CLOCK)
        if catalogue.date and abs(off := clock.shown() - catalogue.date.timestamp()) > _MAX_CLOCK_SECONDS:
            theirs = f"{catalogue.date.astimezone():%Y-%m-%d %H:%M:%S}"
            text += f" The clock of {rung.provider} says {theirs}: {abs(off):.0f} s away."
            return Finding(Verdict.FAILURE, "clock", text, _SET_CLOCK)
    if not clock.is_believed(clock.shown()):
        return Finding(Verdict.FAILURE, "clock", f"{text} That cannot be right.", _SET_CLOCK)
    return Finding(Verdict.OK, "clock", text)


def _demo(patient: Patient) -> Finding:
    remedy = (
        "A key for Gemini comes from https://aistudio.google.com/apikey; then:"
        f" {models.key_command(patient.is_installed)}. For a model server:"
        f" {models.command(patient.is_installed)} models add ADDRESS."
    )
    return Finding(Verdict.WARNING, "key", "demo: answers are built-in examples.", remedy)


def _unasked(patient: Patient) -> Finding | None:
    """What is said of models without a key for them, and of a key without models, while others are asked."""
    if patient.settings.key and all(entry.at for entry in patient.settings.models):
        text = "there is a key for Gemini, but no model of Gemini's is in the list, so it is not used."
        remedy = f'Add one to `models` in the settings, such as "{Settings.models[0].model}".'
        return Finding(Verdict.WARNING, "key", text, remedy)
    names = [entry.model for entry in patient.settings.models if not models.can_be_asked(patient.settings, entry)]
    if not names:
        return None
    text = f"there is no key for Gemini, so nobody asks {', '.join(names)}."
    given = models.key_command(patient.is_installed)
    remedy = f"Store one ({given}), or take them out of `models` in the settings."
    return Finding(Verdict.WARNING, "key", text, remedy)


def _key(patient: Patient, rung: Rung, catalogue: Catalogue, has_others: bool) -> Finding:
    """What a place says to its key, or without one, and whether it offers its models. `has_others`: another place
    answers.
    """
    is_geminis = _address(patient, rung) is None  # others may list their models for everybody
    subject = "key" if rung.place.key and (is_geminis or models.wants_key(catalogue.error)) else "server"
    if catalogue.error:
        return _fault(patient, rung, catalogue.error, subject, has_others)
    wanted = [each.model for each in patient.rungs if each.place == rung.place]
    unknown = [model for model in wanted if not catalogue.offers(model)]
    accepts = "accepts it and offers" if subject == "key" else "offers"
    text = f"{rung.provider} {accepts} {catalogue.extent}"
    if unknown:
        verdict = Verdict.WARNING if len(unknown) < len(wanted) else Verdict.FAILURE
        remedy = "Choose others with `models` in the settings."
        remedy += f" {models.how_to_get(unknown[0], _address(patient, rung))}".rstrip()
        return Finding(verdict, subject, f"{text}, but not {', '.join(unknown)}.", remedy)
    return Finding(Verdict.OK, subject, f"{text}, all of the settings among them.")


def _fault(patient: Patient, rung: Rung, error: ApplianceError, subject: str, has_others: bool) -> Finding:
    """Why a place does not say what it offers. A computer of the house may be off while others answer."""
    if isinstance(error, OwnerError):
        given = models.key_command(patient.is_installed, _address(patient, rung))
        remedy = f"For {'another' if rung.place.key else 'a'} key: {given}."
        is_about_key = models.wants_key(error) or _address(patient, rung) is None
        text = models.tell_refusal(error, rung.provider, rung.place.key)
        return Finding(Verdict.FAILURE, subject, text, remedy if is_about_key else "")
    if not isinstance(error, UpstreamUnreachable):
        return Finding(Verdict.WARNING, subject, str(error))
    if not rung.place.upstream.is_at_home:
        return Finding(Verdict.FAILURE, subject, str(error))
    return Finding(Verdict.WARNING if has_others else Verdict.FAILURE, subject, str(error), models.LET_LISTEN)


def _address(patient: Patient, rung: Rung) -> ServerAddress | None:
    """Where the owner has put it; None: it is Gemini's."""
    addresses = (each.address for each in patient.settings.models if each.at == rung.place.upstream.base_url)
    return next(addresses, None)


def _answer(rungs: Sequence[Rung], patience: float) -> Finding:
    """Whether a place answers a question. Its models are asked in turn, until one does or the place is out."""
    refusals: list[str] = []
    with closing(rungs[0].place.upstream):
        for rung in rungs:
            begun = time.monotonic()
            refusal = find_refusal(rung, patience)
            if refusal is None:
                text = " ".join([f"{rung.model} answers, after {time.monotonic() - begun:.1f} s.", *refusals])
                return Finding(Verdict.WARNING if refusals else Verdict.OK, "answer", text)
            refusals.append(f"{rung.model}: {models.tell_refusal(refusal, rung.provider, rung.place.key)}")
            if isinstance(refusal, OwnerError | UpstreamUnreachable):
                break
    return Finding(Verdict.FAILURE, "answer", " ".join(refusals))
