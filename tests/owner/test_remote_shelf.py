"""The shelf as the owner's commands see it: what is sent, what is read of the answer, and when sending ends."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.epub_file import make_epub
from fakes.gemini import FakeGemini, Reply
from fakes.house import House

from kindle_appliance.owner.remote_shelf import Lost, Refused, RemoteShelf, Shorter
from kindle_appliance.owner.service import Service

SECRET = b"owner" * 8
START = "http://127.0.0.1:1/"


def nobody(sent: int) -> None:
    pass


@pytest.fixture
def shelf(gemini: FakeGemini, tmp_path: Path) -> Iterator[RemoteShelf]:
    with House(gemini.url, tmp_path, owner_secret=SECRET) as house:
        yield RemoteShelf(Service(house.url), SECRET.hex())


def book(tmp_path: Path, title: str = "Emma") -> bytes:
    return make_epub(tmp_path / "book.epub", title=title).read_bytes()


def add(shelf: RemoteShelf, content: bytes) -> tuple[str, bool]:
    found, is_new = shelf.add(io.BytesIO(content), len(content), nobody)
    return found.label, is_new


def test_a_book_is_added_listed_and_removed(shelf: RemoteShelf, tmp_path: Path) -> None:
    content, sent = book(tmp_path), list[int]()
    found, is_new = shelf.add(io.BytesIO(content + b"more"), len(content), sent.append)
    assert (found.label, is_new, sent[-1]) == ("Emma, A Writer", True, len(content))
    assert add(shelf, content) == ("Emma, A Writer", False)
    (listed,) = shelf.list()
    assert (listed.name, listed.size, listed.label) == (found.name, len(content), found.label)
    assert len(listed.day) == 10 and listed.day > "2020"
    shelf.remove(found.name)
    assert shelf.list() == []
    with pytest.raises(Refused) as error:
        shelf.remove(found.name)
    assert error.value.status == 404 and error.value.sentence.endswith(".")


def test_a_file_that_has_become_shorter_is_not_added(shelf: RemoteShelf, tmp_path: Path) -> None:
    content = book(tmp_path)
    with pytest.raises(Shorter):
        shelf.add(io.BytesIO(content), len(content) + 1, nobody)
    assert shelf.list() == []
    while True:
        try:
            assert add(shelf, content)[1], "nothing is left that holds others up"
            break
        except Refused as error:  # the appliance has not noticed yet
            assert error.status == 503


def test_a_refusal_by_the_headers_ends_the_sending(gemini: FakeGemini, tmp_path: Path) -> None:
    size, sent = 90_000_000, list[int]()
    with House(gemini.url, tmp_path, books_megabytes=1) as house, pytest.raises(Refused) as error:
        RemoteShelf(Service(house.url), None).add(io.BytesIO(bytes(size)), size, sent.append)
    assert error.value.status == 413 and "no room" in error.value.sentence
    assert not sent or sent[-1] < size // 2


def test_without_the_secret_it_is_a_visitor_who_is_told_when_to_come_back(
    shelf: RemoteShelf, tmp_path: Path
) -> None:
    for secret in (None, "0" * 64):
        visitor = RemoteShelf(shelf.service, secret)
        with pytest.raises(Refused) as error:
            for number in range(11):
                add(visitor, book(tmp_path, f"{secret} {number}"))
        assert error.value.status == 429 and (error.value.retry_after or 0) > 60
    assert add(shelf, book(tmp_path))[1]


def test_what_is_no_answer_of_the_appliance_is_a_lost_connection(gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = Reply.models("gemini-a")
    other = RemoteShelf(Service(f"{gemini.url}/"), SECRET.hex())
    with pytest.raises(Lost):
        other.list()
    nowhere = RemoteShelf(Service(START), SECRET.hex())
    for call in (nowhere.list, lambda: nowhere.remove("0" * 64), lambda: add(nowhere, book(tmp_path))):
        with pytest.raises(Lost):
            call()
