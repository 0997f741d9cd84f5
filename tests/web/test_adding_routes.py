"""Adding a book: as a browser sends it, and as a script does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import urllib3
from fakes.epub_file import make_epub
from fakes.house import House

EPUB = {"Content-Type": "application/epub+zip"}
JSON = {"Accept": "application/json"}


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
