"""What a large book costs while it comes in: memory, the card, `/tmp`, and the time of those who read meanwhile.

The real program, with the file sent as a form and as it is.
"""

from __future__ import annotations

import json
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Soak
from fakes.epub_file import members
from fakes.process import Process
from fakes.program import Appliance
from fakes.raw_client import connect, read_to_end
from ratios import assert_usual_ratio

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(180)]

MEGABYTE = 1024 * 1024
BOUNDARY = b"----WebKitFormBoundary0123456789abcdef"
FORM = b"multipart/form-data; boundary=" + BOUNDARY
EPUB = b"application/epub+zip"


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    (tmp_path / "tmp").mkdir()
    arguments = ("--demo", "--no-mdns", "--data", str(tmp_path / "data"))
    with closing(Appliance(tmp_path, *arguments, TMPDIR=str(tmp_path / "tmp"))) as running:
        running.get("/healthz")
        yield running


def large_book(path: Path, size: int) -> bytes:
    """An EPUB with a picture of so many bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members(title="A Large Book").items():
            archive.writestr(name, data)
        archive.writestr("OPS/picture.jpg", os.urandom(size))
    return path.read_bytes()


def request(kind: bytes, data: bytes, folder: Path) -> list[bytes]:
    """The head, and the pieces of the body. As the owner, who may add more than ten books."""
    owner = (folder / "data" / "owner-secret").read_bytes().hex().encode()
    before = after = b""
    if kind == FORM:
        before = b'--%s\r\nContent-Disposition: form-data; name="book"; filename="a.epub"\r\n' % BOUNDARY
        before += b"Content-Type: application/epub+zip\r\n\r\n"
        after = b"\r\n--%s--\r\n" % BOUNDARY
    head = b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nContent-Type: %s\r\n" % kind
    head += b"Kindle-Appliance-Owner: %s\r\nContent-Length: %d\r\n\r\n" % (
        owner,
        len(before) + len(data) + len(after),
    )
    starts = range(0, len(data), MEGABYTE)
    return [head + before, *(data[start : start + MEGABYTE] for start in starts), after]


@pytest.mark.parametrize("kind", [EPUB, FORM], ids=["raw", "form"])
def test_a_large_book_is_never_in_memory_and_once_on_the_card(
    appliance: Appliance, tmp_path: Path, kind: bytes, soak: Soak
) -> None:
    data = large_book(tmp_path / "large.epub", 95 * MEGABYTE)
    process = Process(appliance.process.pid)
    memory, written, seconds = [process.memory()], process.written(), process.cpu_seconds()
    begun = time.monotonic()
    with connect(appliance.port) as client:
        for piece in request(kind, data, tmp_path):
            client.sendall(piece)
            memory.append(process.memory())
        response = read_to_end(client)
    taken, seconds = time.monotonic() - begun, process.cpu_seconds() - seconds
    memory.append(process.memory())
    written = process.written() - written
    assert response.startswith(b"HTTP/1.1 201 ") and json.loads(response.partition(b"\r\n\r\n")[2])["new"] is True
    soak.tell(
        f"a book of {len(data) / MEGABYTE:.0f} MB: {taken:.1f} s, {seconds:.1f} s of the processor,"
        f" {max(memory) - memory[0]:.1f} MB of memory, {written / len(data):.2f} times its size written"
    )
    assert max(memory) - memory[0] < 8
    assert written < 1.1 * len(data)
    assert not [*(tmp_path / "tmp").iterdir(), *(tmp_path / "data" / "books" / "incoming").iterdir()]


def test_pages_come_as_usual_while_a_large_book_comes_in(appliance: Appliance, tmp_path: Path, soak: Soak) -> None:
    data = large_book(tmp_path / "large.epub", 95 * MEGABYTE)
    pieces = request(FORM, data, tmp_path)[:-1]

    def seconds() -> float:
        begun = time.monotonic()
        for _ in range(30):
            assert appliance.get("/").status == 200
        return time.monotonic() - begun

    def measure() -> tuple[float, float]:
        quiet, stop = seconds(), threading.Event()
        with connect(appliance.port) as client:
            client.sendall(pieces[0])

            def pour() -> None:
                for piece in pieces[1:]:
                    for at in range(0, len(piece), 65536):
                        if stop.is_set():
                            return
                        client.sendall(piece[at : at + 65536])
                        time.sleep(65536 / (10 * MEGABYTE))

            pouring = threading.Thread(target=pour)
            pouring.start()
            busy = seconds()
            assert pouring.is_alive(), "it was coming in all the time"
            stop.set()
            pouring.join()
        return quiet, busy

    ratio = assert_usual_ratio(4, measure, of="a page beside a book that comes in")
    soak.tell(f"pages while a book comes in at 10 MB/s: {ratio:.2f} times as long")
