"""Adding a book: as a browser sends it, and as a script does."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import urllib3
from fakes.epub_file import make_epub
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.raw_client import connect, read_to_end
from fakes.secrets import PIN
from fakes.shelf import until
from urllib3.filepost import encode_multipart_formdata

from kindle_appliance.web.pin import Gate

EPUB = {"Content-Type": "application/epub+zip"}
JSON = {"Accept": "application/json"}
SECRET = b"o" * 32
OWNER = {"Kindle_Appliance_Owner": SECRET.hex()}


@pytest.fixture
def book(tmp_path: Path) -> bytes:
    make_epub(tmp_path / "a.epub", title="The Sea", creator="A. Salt")
    return (tmp_path / "a.epub").read_bytes()


def send(house: House, data: bytes, **headers: str) -> urllib3.BaseHTTPResponse:
    """Send the bytes of a file, as a script does."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return house.client.request(
        "POST", f"{house.url}/books", body=data, headers=EPUB | JSON | named, redirect=False
    )


def send_form(
    house: House, data: bytes, file_name: str = "a.epub", field: str = "book", **headers: str
) -> urllib3.BaseHTTPResponse:
    """Send a form with a file, as a browser does."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields: list[tuple[str, str | bytes | tuple[str, str | bytes] | tuple[str, str | bytes, str]]] = [
        ("note", "x"),
        (field, (file_name, data, "application/epub+zip")),
    ]
    return house.client.request("POST", f"{house.url}/books", fields=fields, headers=named, redirect=False)


def test_a_browser_is_led_to_the_book_that_it_has_added(house: House, book: bytes) -> None:
    response = send_form(house, book)
    name = hashlib.sha256(book).hexdigest()
    assert response.status == 303 and response.headers["Location"] == f"/books/{name}"
    (shelved,) = house.shelf.list(10)
    assert shelved.name == name and shelved.size == len(book)


def test_a_script_is_told_what_it_has_added(house: House, book: bytes) -> None:
    name = hashlib.sha256(book).hexdigest()
    for is_new in (True, False):
        response = send(house, book)
        assert response.status == 201
        told = json.loads(response.data)
        assert set(told) == {"url", "name", "title", "author", "new", "faults"}
        assert told["url"] == f"/books/{name}" and told["name"] == name and told["new"] is is_new
    assert house.shelf.count() == 1


def test_a_file_that_is_sent_twice_at_once_is_one_book(house: House, book: bytes) -> None:
    with ThreadPoolExecutor(4) as clients:
        statuses = {each.status for each in clients.map(lambda number: send(house, book), range(8))}
    assert 201 in statuses <= {201, 503}
    assert house.shelf.count() == 1


# ---- What is refused


def error(response: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    return response.status, json.loads(response.data)["error"]


def test_what_is_no_book_is_refused_with_its_reason_and_leaves_nothing(house: House, tmp_path: Path) -> None:
    status, sentence = error(send(house, b"no book"))
    assert status == 422 and sentence
    page = send_form(house, b"no book", Accept_Language="zh-CN")
    assert page.status == 422 and "text/html" in page.headers["Content-Type"]
    assert 'lang="zh-CN"' in page.data.decode() and sentence not in page.data.decode()
    assert house.shelf.count() == 0
    assert not [each for each in (tmp_path / "books").rglob("*") if "sqlite" not in each.name and each.is_file()]


def test_a_form_without_a_chosen_file_is_told_so(house: House) -> None:
    """A browser sends the field without a name (HTML, 4.10.21.5)."""
    response = send_form(house, b"", file_name="", Accept="application/json")
    assert error(response) == (400, "No file was chosen. Please choose one first.")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/epub+zip; charset=x", 201),
        ("APPLICATION/EPUB+ZIP", 201),
        ("application/octet-stream", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/mixed; boundary=x", 415),
        ("", 415),
        ("é; ;=", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=x", 400),
        ("multipart/form-data; boundary=" + "x" * 71, 400),
    ],
)
def test_the_content_type_says_how_a_book_is_sent(house: House, book: bytes, kind: str, status: int) -> None:
    assert send(house, book, Content_Type=kind.encode("latin-1").decode("latin-1")).status == status


def test_a_form_without_our_field_is_not_understood(house: House, book: bytes) -> None:
    assert send_form(house, book, field="other", Accept="application/json").status == 400
    assert house.shelf.count() == 0


def test_a_file_that_is_too_large_is_refused_by_its_length(house: House) -> None:
    head = (
        "POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/epub+zip\r\nExpect: 100-continue\r\n"
        f"Accept: application/json\r\nContent-Length: {101 * 2**20}\r\n\r\n"
    )
    with connect(house.server.port) as client:
        client.sendall(head.encode())
        response = read_to_end(client).decode()
    assert response.startswith("HTTP/1.1 413 ") and "A book may have up to 100 MB." in response


def test_a_book_is_refused_by_the_house_that_is_full(gemini: FakeGemini, tmp_path: Path, book: bytes) -> None:
    with House(gemini.url, tmp_path, books=1) as house:
        assert send(house, book).status == 201
        assert send(house, book + b"x").status == 413
        assert house.shelf.count() == 1


def test_a_card_that_takes_no_books_is_told_as_such(gemini: FakeGemini, tmp_path: Path, book: bytes) -> None:
    (tmp_path / "books").write_bytes(b"in the place of the folder")
    with House(gemini.url, tmp_path) as house:
        response = send(house, book)
        assert response.status == 503 and response.headers["Retry-After"]
        assert "card" in error(response)[1]
        page = send_form(house, book)
        assert page.status == 503 and page.headers["Retry-After"] and "card" in page.data.decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Referer": "http://evil.example/x"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"X_Forwarded_For": "192.168.1.2"}, 403),
    ],
)
def test_strangers_pages_add_no_books(house: House, book: bytes, headers: dict[str, str], status: int) -> None:
    assert send(house, book, **headers).status == status
    assert send_form(house, book, **headers).status == status
    assert house.shelf.count() == 0


def test_without_the_pin_no_book_is_read(gemini: FakeGemini, tmp_path: Path, book: bytes) -> None:
    with House(gemini.url, tmp_path, gate=Gate(PIN, b"s" * 32), owner_secret=SECRET) as house:
        assert send(house, book).status == 401
        assert send(house, book, **OWNER).status == 401, "the owner's secret is no PIN"
        assert send_form(house, book).status == 403
        assert send(house, book, Authorization="Bearer 0000").status == 401
        assert house.shelf.count() == 0
        assert send(house, book, Authorization=f"Bearer {PIN}").status == 201
        signed_in = house.post("/pin", {"pin": PIN, "back": "/"}).headers["Set-Cookie"].partition(";")[0]
        assert send_form(house, book, Cookie=signed_in).status == 303


def test_a_browser_that_is_refused_may_send_all_of_its_form_and_sees_the_page(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    head = b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with House(gemini.url, tmp_path, gate=Gate(PIN, b"s" * 32)) as house, connect(house.server.port) as client:
        client.sendall(head + b"Content-Length: 20000000\r\n\r\n")
        for _ in range(20):
            client.sendall(bytes(1_000_000))
        response = b"".join(iter(lambda: client.recv(65536), b""))  # raises if it was reset
    assert response.startswith(b"HTTP/1.1 403 ") and b'name="pin"' in response


@pytest.mark.parametrize("is_form", [False, True])
def test_a_client_that_leaves_leaves_nothing_behind_and_the_turn_to_others(
    house: House, book: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_form: bool
) -> None:
    kind, body = "application/epub+zip", book
    if is_form:
        body, kind = encode_multipart_formdata({"book": ("a.epub", book, kind)})
    head = f"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    lengths = (0, 1, 40, 200, len(body) // 2, len(body) - 60, len(body) - 1)
    caplog.set_level(logging.INFO, "kindle_appliance.web.adding")

    def have_broken_off(count: int) -> bool:
        return caplog.text.count("a book broke off") == count

    for number, sent in enumerate(lengths, 1):
        with connect(house.server.port) as client:
            client.sendall(head.encode() + body[:sent])
        until(partial(have_broken_off, number))
    assert not list((tmp_path / "books" / "incoming").iterdir())
    assert house.shelf.count() == 0
    assert send(house, book).status == 201


# ---- How often


def test_the_owners_command_may_add_as_many_books_as_it_likes(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, owner_secret=SECRET) as house:
        assert [send(house, b"a%d" % number, **OWNER).status for number in range(15)] == [422] * 15
        assert [send(house, b"b%d" % number).status for number in range(11)] == [422] * 10 + [429]
        for wrong in ("", "0", "é", SECRET.hex()[:-1] + "0", SECRET.hex() + " x"):
            assert send(house, b"no book", Kindle_Appliance_Owner=wrong).status == 429
        assert send(house, b"no book", **OWNER).status == 422


def test_without_an_owners_secret_nobody_is_the_owner(house: House) -> None:
    statuses = [send(house, b"a%d" % number, Kindle_Appliance_Owner="").status for number in range(11)]
    assert statuses == [422] * 10 + [429]


def test_who_adds_too_many_is_told_when_more_may_come(house: House, book: bytes) -> None:
    for number in range(10):
        send(house, b"a%d" % number)
    response = send(house, book)
    assert error(response) == (429, "That is enough for now. You can add more in 6 minutes.")
    assert 300 < int(response.headers["Retry-After"]) <= 361
    page = send_form(house, book, Accept_Language="zh")
    assert page.status == 429 and page.headers["Retry-After"] and "6 分钟后" in page.data.decode()
    assert send(house.at("127.0.0.2"), book).status == 201


def test_a_form_without_a_file_is_none_of_the_ten_books(house: House, book: bytes, tmp_path: Path) -> None:
    for _ in range(12):
        assert send_form(house, b"", file_name="", Accept="application/json").status == 400
        assert send_form(house, book, field="other", Accept="application/json").status == 400
    assert [send(house, b"a%d" % number).status for number in range(11)] == [422] * 10 + [429]
    assert send_form(house, b"", file_name="", Accept="application/json").status == 429


def test_a_form_whose_file_was_written_is_one_of_the_ten(house: House, book: bytes) -> None:
    """Also if what follows the file makes no form of it."""
    data, kind = encode_multipart_formdata({"book": ("a.epub", book, "application/epub+zip")})
    statuses = [send(house, data[:-40], Content_Type=kind).status for _ in range(11)]
    assert statuses == [400] * 10 + [429]


def test_what_the_headers_refuse_costs_no_turn(house: House, book: bytes) -> None:
    for _ in range(15):
        assert send(house, book, Origin="http://evil.example").status == 403
        assert send(house, book, Content_Type="text/plain").status == 415
    assert send(house, book).status == 201
