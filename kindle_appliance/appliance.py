"""The appliance: the order in which its parts start; they stop in the reverse order."""

from __future__ import annotations

import ctypes
import errno
import logging
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

from . import __version__
from .answers.desk import AnswerDesk
from .books.shelf import Shelf
from .clock import now
from .errors import StartError, StorageError
from .host import network, signals, terminal
from .host.mdns import Advertiser
from .host.systemd import Watch, handed_over_sockets
from .owner.answerers import answerers
from .owner.installation import Installation
from .owner.models import needs_demo, open_fallback
from .settings import Settings, data_folder
from .storage.chats import Chats
from .storage.database import Database
from .storage.folder import BOOKS_FOLDER, CHATS_FILE
from .storage.kept_secret import OWNER, SESSIONS, keep_secret
from .storage.lock import FolderLock
from .storage.places import Places
from .storage.privacy import keep_private
from .storage.rate_limit import RateLimit
from .storage.reports import Reports
from .storage.schema import CHATS
from .web import cookies
from .web.adding import ADDING_PATH
from .web.app import Web
from .web.book_pages import BookPages
from .web.guard import Guard
from .web.health import Health
from .web.layout import Layout
from .web.look import Look
from .web.pages import Pages
from .web.pin import Gate
from .web.server import Server

log = logging.getLogger(__name__)

_SPARE_PORTS = 19  # above the usual one; they are tried only if nobody has chosen a port
_WRITERS_STOP_SECONDS = 1.5
_READERS_STOP_SECONDS = 1.5
_SESSION_SECONDS = 600.0  # for one request
_M_ARENA_MAX = -8  # malloc.h of glibc
_SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter while others wait for it, instead of Python's 5 ms. A page takes the
interpreter a dozen times, and two threads may be setting long texts (see `answers/turns.py`)."""


def serve(settings: Settings, environment: Mapping[str, str], on_ready: Callable[[], None] = lambda: None) -> None:
    """Run the appliance until SIGTERM, SIGINT or SIGHUP. Raises `OwnerError` or `StartError`.

    `on_ready` is called when systemd has been told that pages are served.
    """
    _share_one_heap()
    sys.setswitchinterval(_SWITCH_SECONDS)
    with ExitStack() as stops:
        folder = data_folder(settings, environment)
        # Before the database is opened: to migrate it under another appliance would keep that one from starting
        # again.
        lock = stops.enter_context(FolderLock(folder))
        keep_private(folder)
        database = stops.enter_context(closing(Database(folder / CHATS_FILE, CHATS, mends=True)))
        chats = Chats(database)
        places = Places(database)
        shelf = stops.enter_context(
            closing(
                Shelf(folder / BOOKS_FOLDER, settings.books, settings.books_megabytes * 1_000_000, places.forget)
            )
        )
        desk = AnswerDesk(chats, open_fallback(settings, stops, database), settings.system_instruction)
        advertiser = Advertiser(settings.name, __version__)
        is_demo = needs_demo(settings)
        guard = _guard(settings, advertiser)
        owner_secret = keep_secret(folder, OWNER, "commands of the owner's that run now must be started again")
        gate = None
        if settings.pin:
            secret = keep_secret(folder, SESSIONS, "every browser must enter the PIN again")
            gate = Gate(settings.pin, secret)
        layout = Layout(is_demo)
        web = Web(
            desk,
            chats,
            Pages(layout, settings.starters, settings.follow_ups, answerers(settings)),
            Reports(database),
            RateLimit(
                database,
                settings.questions_per_minute,
                settings.device_questions_per_day,
                settings.questions_per_day,
            ),
            Health(
                __version__,
                database,
                desk,
                is_demo,
                chats.look_further,
                lambda: advertiser.snapshot().facts(),
                folder=folder,
                build=Installation.build(Path(sys.prefix)),
                has_books=lambda: shelf.trouble is None,
            ),
            language=_language(settings),
            look=Look.of(settings.text_size),
            followers=settings.followers,
            addresses=partial(network.addresses, settings.host),
            mdns=advertiser.snapshot,
            guard=guard,
            gate=gate,
            shelf=shelf,
            owner_secret=owner_secret,
            places=places,
            book_pages=BookPages(layout),
        )
        sockets = handed_over_sockets(environment)
        server = _listen(web, guard, settings, sockets)
        stops.callback(server.close, _READERS_STOP_SECONDS)
        signals.end_by(server.stop)
        try:
            if interrupted := chats.interrupt_unfinished():
                log.warning("%d answers were cut off when the appliance stopped last time", interrupted)
        except StorageError as error:
            log.error("only reading is possible: %s", error)
        # Before the server closes: followers get the end of their answers, the database what was written.
        stops.callback(desk.close, _WRITERS_STOP_SECONDS)
        desk.start()  # after this: what was cut off has an end now, and a question that waits may be asked
        indexer = chats.index.worker()
        stops.callback(indexer.close)
        indexer.start()
        shelf.start()
        if settings.mdns:
            advertiser.start(server.host, server.port)
            stops.callback(advertiser.close)  # stopped first: nobody must find an appliance that is going away
        if not sockets:  # started by hand; under systemd the installer has told the owner all this
            _greet(settings, server.port, is_demo, advertiser.is_on, folder)
        lock.announce(network.web_address(server.own_address, server.port))
        log.info("started: version %s, port %d%s", __version__, server.port, ", demo" if is_demo else "")
        watch = Watch(environment, partial(_serves_pages, server, gate), on_ready)
        stops.callback(watch.close)
        watch.start()
        server.run()
        log.info("stopping")
    log.info("stopped")


def _serves_pages(server: Server, gate: Gate | None, seconds: float) -> bool:
    """Whether the first page comes, for a browser that has entered the PIN but never been here: so nothing is
    counted or stored. What does not work behind the pages is told by `/healthz`, because no restart mends it.
    """
    session = cookies.with_session(gate.open_session(now() + _SESSION_SECONDS)) if gate else ""
    return server.answers("/", seconds, session)


def _share_one_heap() -> None:
    """Keep glibc from giving each thread a heap of its own.

    Separate heaps gain nothing, since Python runs one thread at a time, and with a thread for each answer they
    would grow without end.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _listen(web: Web, guard: Guard, settings: Settings, sockets: Sequence[socket.socket]) -> Server:
    application, port = web.application(), settings.port
    last = port + (_SPARE_PORTS if settings.origins.get("port") == "default" else 0)
    while True:
        try:
            return Server(
                application,
                settings.host,
                port,
                settings.followers,
                sockets,
                is_proxy=guard.is_proxy,
                language=_language(settings),
                uploads=[ADDING_PATH],
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == last:
                raise StartError(
                    f"cannot listen on {settings.host}, port {port}: {error.strerror or error}."
                    " If another program uses the port, choose another with --port."
                ) from error
        port += 1


def _language(settings: Settings) -> str | None:
    return None if settings.language == "auto" else settings.language


def _guard(settings: Settings, advertiser: Advertiser) -> Guard:
    hosts = [each for each in (settings.host, *settings.hosts) if each not in network.EVERYWHERE]
    return Guard(lambda: network.names() | {advertiser.snapshot().name}, settings.networks, hosts, settings.proxies)


def _greet(settings: Settings, port: int, is_demo: bool, has_name: bool, folder: Path) -> None:
    lines = [f"kindle-appliance {__version__}"]
    if port != settings.port:
        lines.append(f"Port {settings.port} is used by another program, so it is {port} today.")
    address = network.lan_address()
    if settings.host != "0.0.0.0":  # noqa: S104 - compared, not bound
        lines.append(f"Type this into the browser:          {network.web_address(settings.host, port)}")
    else:
        if address:
            lines.append(f"Type this into the Kindle's browser: {network.web_address(address, port)}")
        lines.append(f"On this machine:                     {network.web_address('127.0.0.1', port)}")
    if has_name:
        named = network.web_address(f"{settings.name}.local", port)
        lines.append(f"Where names are known:               {named}")
    lines.append(f"The chats are kept in:               {folder}")
    if is_demo:
        lines.append("DEMO: answers are built-in examples. For Gemini's, set GEMINI_API_KEY, a key from")
        lines.append("https://aistudio.google.com/apikey; for a model in your house, KINDLE_APPLIANCE_MODELS.")
    try:
        print("\n".join(lines), flush=True)
    except OSError:  # nobody reads it
        terminal.give_up_stdout()
