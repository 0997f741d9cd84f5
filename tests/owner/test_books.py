"""The owner's commands for the books, with the real program and a real appliance, installed and from a checkout."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from fakes.epub_file import make_epub, members, pack
from fakes.filesystem import mounted, read_only
from fakes.gemini import FakeGemini, Reply
from fakes.installed import Installed
from fakes.program import PROGRAM, Appliance, Program, environment, run
from fakes.proxy import Proxy
from fakes.raw_client import connect, read_to_end
from fakes.secrets import PIN
from fakes.terminal import Terminal

from kindle_appliance.storage.shelf_layout import MOST_BYTES

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]

WAITING = r"\(Another book .* Waiting \.\.\.\)"


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    """A running appliance of a checkout, whose state folder `run(tmp_path, ...)` finds, too."""
    with closing(Appliance(tmp_path)) as appliance:
        yield appliance


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """An installation, whose service a test starts itself."""
    (tmp_path / "machine").mkdir()
    return Installed(tmp_path / "machine")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A household's calibre library with two books."""
    folder = tmp_path / "Calibre"
    for author, title, number in (("Jane Austen", "Emma", 5), ("E. T. A. Hoffmann", "Der Sandmann", 7)):
        home = folder / author / f"{title} ({number})"
        home.mkdir(parents=True)
        make_epub(home / f"{title} - {author}.epub", title=title, creator=author)
        for ending in (".azw3", ".pdf"):
            (home / f"{title} - {author}{ending}").write_bytes(b"another format")
        (home / "metadata.opf").write_text("<package/>")
    (folder / "metadata.db").write_bytes(b"SQLite format 3")
    (folder / ".caltrash" / "b").mkdir(parents=True)
    make_epub(folder / ".caltrash" / "b" / "Gone.epub", title="Gone")
    return folder


def make_large(path: Path, size: int, title: str) -> Path:
    """A book with pictures of so many bytes, which are not packed any smaller."""
    noise = random.Random(size)
    pictures = {f"OPS/{number}.jpg": noise.randbytes(size // 10) for number in range(10)}
    return pack(path, members(title=title) | pictures)


def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "kindle-appliance"


def test_a_calibre_library_is_added_listed_and_added_again_without_sending_a_book_twice(
    appliance: Appliance, library: Path, tmp_path: Path
) -> None:
    added = "Der Sandmann, E. T. A. Hoffmann: added.\nEmma, Jane Austen: added.\n"
    left = "4 files in other formats were left out.\n"
    assert run(tmp_path, "books", "add", str(library)) == (0, f"{added}{left}Books: 2 added.\n", "")
    listed = run(tmp_path, "books", "list")
    assert listed == run(tmp_path, "books")
    lines = listed[1].splitlines()
    assert [line.partition(" MB  ")[2] for line in lines] == [
        "Emma, Jane Austen",
        "Der Sandmann, E. T. A. Hoffmann",
    ]
    for line in lines:
        assert re.fullmatch(r"[0-9a-f]{12}  2\d{3}-\d\d-\d\d     0\.0 MB  .*", line)
        assert list(state(tmp_path).glob(f"books/{line[:12]}*.epub"))
    assert run(tmp_path, "books", "add", str(library)) == (
        0,
        f"{added.replace('added', 'was there already')}{left}Books: 2 already there.\n",
        "",
    )
    assert "has come" not in appliance.rest().partition("Sandmann")[2]


def test_each_bad_file_is_told_in_a_sentence_and_the_good_ones_are_added(
    appliance: Appliance, library: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.mobi").write_bytes(bytes(60) + b"BOOKMOBI" + bytes(60))
    (tmp_path / "empty.epub").write_bytes(b"")
    (tmp_path / "link.epub").symlink_to(next(library.rglob("Emma*.epub")))
    with (tmp_path / "huge.epub").open("wb") as huge:
        huge.truncate(MOST_BYTES + 1)
    names = ("a.mobi", "empty.epub", "link.epub", "huge.epub", "missing.epub")
    places = [str(tmp_path / name) for name in names]
    status, printed, errors = run(tmp_path, "books", "add", *places, str(library))
    assert (status, errors) == (1, "")
    lines = printed.splitlines()
    for name, sentence in zip(
        names,
        (
            re.escape("This is a Kindle's own book (.azw, .kfx or .mobi). The appliance can read only EPUB files."),
            "This is not an EPUB file. The appliance can read only books in this format.",
            "This is a link, and not a plain file.",
            "This file has 104 MB. A book may have up to 100 MB.",
            "No such file or directory.",
        ),
        strict=True,
    ):
        assert re.fullmatch(f"{tmp_path}/{name}: {sentence}", lines.pop(0)), printed
    assert lines == [
        "Der Sandmann, E. T. A. Hoffmann: added.",
        "Emma, Jane Austen: added.",
        "4 files in other formats were left out.",
        "Books: 2 added, 5 not added.",
    ]
    assert not list(state(tmp_path).glob("books/incoming/*"))


def test_a_book_is_removed_by_title_or_short_name_and_comes_back_when_it_is_added(
    appliance: Appliance, library: Path, tmp_path: Path
) -> None:
    make_epub(library / "Emma 2.epub", title="Emma", creator="Somebody Else")
    run(tmp_path, "books", "add", str(library))
    names = {line.partition(" MB  ")[2]: line[:12] for line in run(tmp_path, "books", "list")[1].splitlines()}
    status, printed, errors = run(tmp_path, "books", "remove", "emma")
    assert (status, printed) == (1, "")
    assert re.match("kindle-appliance: several books are called so. Name one of them:\n", errors)
    assert all(f"    {short}  {label}\n" in errors for label, short in names.items() if "Emma" in label)
    gone = "Emma, Jane Austen: removed. For a day it can be put back, on the page of the books.\n"
    assert run(tmp_path, "books", "remove", names["Emma, Jane Austen"]) == (0, gone, "")
    status, printed, _ = run(tmp_path, "books", "remove", "der", "SAND")
    assert (status, printed.partition(":")[0]) == (0, "Der Sandmann, E. T. A. Hoffmann")
    status, _, errors = run(tmp_path, "books", "remove", "Der Sandmann")
    assert (status, errors) == (1, "kindle-appliance: there is no book 'Der Sandmann'. See them with: books list\n")
    status, printed, _ = run(tmp_path, "books", "add", str(library))
    assert printed.startswith(
        "Der Sandmann, E. T. A. Hoffmann: put back.\nEmma, Somebody Else: was there already.\n"
        "Emma, Jane Austen: put back.\n"
    )


def test_the_owner_may_add_more_books_than_a_visitor_because_the_secret_is_shown(
    appliance: Appliance, tmp_path: Path
) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(24):
        make_epub(folder / f"{number:02}.epub", title=f"Book {number}")
    status, printed, errors = run(tmp_path, "books", "add", str(folder))
    assert (status, errors, printed.count(": added.")) == (0, "", 24)
    secret = state(tmp_path) / "owner-secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    hidden = secret.read_bytes()
    secret.unlink()
    for number in range(24, 48):
        make_epub(folder / f"{number:02}.epub", title=f"Book {number}")
    status, printed, errors = run(tmp_path, "books", "add", str(folder))
    assert status == 1
    assert (printed.count(": added."), printed.count("That is enough for now")) == (10, 5)
    assert "The same was said 5 times in a row, so no more files are sent." in printed
    written = [printed.encode(), errors.encode(), appliance.rest().encode(), appliance.errors.read_bytes()]
    run(tmp_path, "backup", "--with-books", str(tmp_path / "backup"))
    written += [path.read_bytes() for path in (*state(tmp_path).glob("*.sqlite*"), tmp_path / "backup")]
    assert not any(hidden in each or hidden.hex().encode() in each.lower() for each in written)


def test_the_command_waits_while_a_phone_sends_a_book(appliance: Appliance, library: Path, tmp_path: Path) -> None:
    book = make_epub(tmp_path / "phone.epub", title="From a phone").read_bytes()
    with closing(connect(appliance.port)) as phone:
        phone.sendall(
            b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/epub+zip\r\n"
            b"Accept: application/json\r\nContent-Length: %d\r\n\r\n" % len(book) + book[:100]
        )
        with closing(Program(tmp_path, "books", "add", str(library))) as adding:
            while not re.search(WAITING, adding.errors.read_text()):
                assert adding.process.poll() is None
            phone.sendall(book[100:])
            assert b"201 Created" in read_to_end(phone)
            assert adding.read_until("Books:").count(": added.") == 2
            assert adding.process.wait(timeout=20) == 0
            assert len(re.findall(WAITING, adding.errors.read_text())) == 1, "it says so once"


def test_the_command_does_not_wait_for_a_card_that_takes_nothing(library: Path, tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "card", "size=32m", "mode=700") as card,
        closing(Appliance(tmp_path, "--data", str(card))),
        read_only(card),
    ):
        status, printed, errors = run(tmp_path, "books", "add", "--data", str(card), str(library))
    assert (status, errors) == (1, "")
    assert printed.count("card is full or read-only") == 2


def test_ctrl_c_ends_the_command_with_what_was_added_so_far_and_leaves_nothing_half(
    appliance: Appliance, library: Path, tmp_path: Path
) -> None:
    run(tmp_path, "books", "add", str(library / "Jane Austen"))
    with closing(connect(appliance.port)) as phone:
        phone.sendall(
            b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/epub+zip\r\n"
            b"Content-Length: 100000\r\n\r\nPK"
        )
        places = [str(next(library.rglob(f"{name}*.epub"))) for name in ("Emma", "Der")]
        with closing(Program(tmp_path, "books", "add", "/dev/null", *places)) as adding:
            while "Waiting" not in adding.errors.read_text():
                assert adding.process.poll() is None
            adding.process.send_signal(signal.SIGINT)
            assert adding.process.wait(timeout=20) == 130
            assert adding.read_until("not added.\n").endswith("Books: 1 already there, 1 not added.\n")
            assert "Traceback" not in adding.errors.read_text()
    assert len(list(state(tmp_path).glob("books/*.epub"))) == 1


def test_a_large_book_shows_at_a_terminal_how_much_of_it_is_sent(appliance: Appliance, tmp_path: Path) -> None:
    large = make_large(tmp_path / "large.epub", 5_000_000, title="Large\x9b31m\u202eBook")
    (tmp_path / "\x1b[31m.epub").write_bytes(b"no book")
    command = [*PROGRAM, "books", "add", str(large), str(tmp_path / "\x1b[31m.epub")]
    with Terminal(command, environment(tmp_path)) as terminal:
        terminal.end()
    assert "large.epub, 5 MB: 10 % 20 % 30 % 40 % 50 % 60 % 70 % 80 % 90 % 100 %\n" in terminal.shown
    assert re.search("Large.*Book, A Writer: added.\n", terminal.shown)
    assert not re.search("[\x9b\x1b\u202e]", terminal.shown), "nothing steers the terminal"
    assert " %" not in run(tmp_path, "books", "add", str(large))[1]


# Where it cannot be done


def test_books_are_added_only_by_a_running_appliance(installed: Installed, library: Path, tmp_path: Path) -> None:
    for arguments in (["list"], ["add", str(library)], ["remove", "Emma"]):
        status, printed, errors = run(tmp_path, "books", *arguments)
        assert (status, printed) == (1, "")
        assert "the appliance does not answer" in errors and "with the same settings" in errors
    status, _, errors = installed.run("books", "list")
    assert status == 1 and "kindle-appliance doctor\n" not in errors and "the appliance does not answer" in errors


def test_the_installed_command_shows_the_services_pin_and_the_owners_secret(
    installed: Installed, library: Path, tmp_path: Path
) -> None:
    installed.at.secret("pin").write_text(PIN)
    more = {"KINDLE_APPLIANCE_PIN": PIN, "KINDLE_APPLIANCE_DATA": str(installed.at.state)}
    with closing(Appliance(tmp_path, **more)) as appliance:
        installed.systemd(port=appliance.port)
        assert installed.run("books", "add", str(library))[0] == 0
        assert installed.run("books", "list")[1].count(" MB  ") == 2
        assert installed.run("books", "remove", "Emma")[0] == 0
        installed.at.secret("pin").write_text("")
        status, _, errors = installed.run("books", "list")
        assert (status, errors.count("restart kindle-appliance")) == (1, 1)
        installed.systemd(port=1)
        status, _, errors = run(tmp_path, "books", "list", KINDLE_APPLIANCE_DATA=str(installed.at.state))
        assert status == 1 and "KINDLE_APPLIANCE_PIN" in errors


def test_a_connection_that_breaks_is_tried_once_more_and_a_lost_appliance_ends_the_command(
    installed: Installed, library: Path, tmp_path: Path
) -> None:
    large = make_large(tmp_path / "large.epub", 40_000_000, title="Large")
    with (
        closing(Appliance(tmp_path, KINDLE_APPLIANCE_DATA=str(installed.at.state))) as appliance,
        Proxy(appliance.port) as proxy,
    ):
        installed.systemd(port=int(proxy.url.rpartition(":")[2]))
        proxy.stall()
        done: list[tuple[int, str, str]] = []
        adding = Thread(target=lambda: done.append(installed.run("books", "add", str(large), str(library))))
        proxy.resume()
        adding.start()
        coming = installed.at.state / "books" / "incoming"
        while not any(coming.glob("*")):
            assert adding.is_alive(), done
        proxy.cut()
        adding.join()
        ((status, printed, errors),) = done
        assert (status, errors) == (1, "kindle-appliance: the appliance does not answer any more.\n")
        assert ": added." not in printed
        proxy.restore()
        assert installed.run("books", "add", str(large), str(library))[0] == 0


def test_another_appliance_takes_the_books_as_those_of_a_visitor(
    installed: Installed, library: Path, tmp_path: Path
) -> None:
    with closing(Appliance(tmp_path)) as other:
        installed.systemd(port=other.port)
        assert installed.run("books", "add", str(library))[0] == 0


def test_no_book_goes_to_a_server_that_is_no_appliance(
    installed: Installed, gemini: FakeGemini, library: Path
) -> None:
    installed.systemd(port=int(gemini.url.rpartition(":")[2].strip("/")))
    gemini.default = Reply.models("gemini-a")
    status, printed, errors = installed.run("books", "add", str(library))
    assert (status, printed) == (1, "")
    assert "the appliance does not answer" in errors
    assert [call.method for call in gemini.calls] == ["GET"]


def test_a_folder_without_books_is_told(appliance: Appliance, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.pdf").write_bytes(b"%PDF")
    status, printed, errors = run(tmp_path, "books", "add", str(tmp_path / "empty"))
    assert status == 1
    assert printed == "1 file in another format was left out.\n"
    assert errors == "kindle-appliance: there is no EPUB file there.\n"
