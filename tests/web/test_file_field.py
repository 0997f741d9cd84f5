"""The file in a form, whatever its bytes are and however they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import ReaderError
from kindle_appliance.web.file_field import file_field

BOUNDARY = b"----Bound"
KIND = "multipart/form-data; boundary=----Bound"
FILE = b'Content-Disposition: form-data; name="book"; filename="a.epub"\r\nContent-Type: application/epub+zip'


def part(head: bytes, data: bytes) -> bytes:
    return b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def read(pieces: Sequence[bytes], kind: str = KIND) -> bytes:
    return b"".join(file_field(pieces, kind, "book"))


def status(*pieces: bytes, kind: str = KIND) -> int:
    with pytest.raises(ReaderError) as caught:
        read(pieces, kind)
    return caught.value.status


WHOLE = form(
    part(b'Content-Disposition: form-data; name="note"', b"x" * 50),
    part(FILE, b"\r\n--\r\n------Boun\r\n------Bounx"),
    part(b'Content-Disposition: form-data; name="go"', b"Add"),
)


def test_the_file_is_the_same_at_every_split_point() -> None:
    for cut in range(1, len(WHOLE)):
        assert read([WHOLE[:cut], WHOLE[cut:]]) == b"\r\n--\r\n------Boun\r\n------Bounx", cut


def test_the_file_is_the_same_byte_by_byte() -> None:
    assert read([WHOLE[at : at + 1] for at in range(len(WHOLE))]) == b"\r\n--\r\n------Boun\r\n------Bounx"


PIECES = st.binary(max_size=40) | st.sampled_from(
    (b"\r\n", b"\r", b"\n", b"--", b"------Boun", b"\r\n------Bound"[:-1])
)


@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_any_bytes_come_out_as_they_went_in(data: bytes, sizes: list[int]) -> None:
    if b"\r\n--" + BOUNDARY in b"\r\n" + data:
        return  # a browser would have chosen another boundary
    text, pieces, at = form(part(FILE, data)), list[bytes](), 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    assert read(pieces) == data


@given(st.binary(max_size=300), st.binary(max_size=60), st.integers(0, 400))
def test_no_form_is_a_mistake_of_ours(before: bytes, between: bytes, cut: int) -> None:
    text = WHOLE[:cut] + between + WHOLE[cut:]
    for pieces in ([before], [before + WHOLE], [text], [text[:cut], text[cut:]]):
        try:
            read(pieces)
        except ReaderError as error:
            assert error.status == 400


@pytest.mark.parametrize("name", [b'"a"', b"a.epub", '"海.epub"'.encode(), '"海.epub"'.encode("gbk"), b'"\\"%22"'])
def test_a_file_may_have_any_name(name: bytes) -> None:
    head = b'Content-Disposition: form-data; name="book"; filename=' + name
    assert read([form(part(head, b"data"))]) == b"data"


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/form-data; boundary="----Bound"',
        "multipart/form-data; charset=x;BOUNDARY=----Bound",
        "multipart/form-data;boundary=----Bound; charset=x",
    ],
)
def test_the_boundary_is_read_from_the_content_type(kind: str) -> None:
    assert read([WHOLE], kind).startswith(b"\r\n--")


def test_an_empty_file_with_a_name_is_a_file() -> None:
    assert read([form(part(FILE, b""))]) == b""


def test_without_a_chosen_file_there_is_a_sentence_for_it() -> None:
    head = b'Content-Disposition: form-data; name="book"; filename=""\r\nContent-Type: application/octet-stream'
    with pytest.raises(ReaderError) as caught:
        read([form(part(head, b""))])
    assert "No file was chosen" in str(caught.value) and caught.value.status == 400


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no form",
        form(),
        form(part(b'Content-Disposition: form-data; name="book"', b"a value and no file")),
        form(part(b'Content-Disposition: form-data; name="other"; filename="a"', b"data")),
        form(part(FILE, b"one"), part(FILE, b"two")),
        part(FILE, b"data"),  # without an end
        WHOLE[:-4],
        form(part(b"", b"data")),
        form(part(FILE + b"\r\nX: " + b"y" * 5000, b"data")),
        form(part(FILE + b"".join(b"\r\nX-%d: y" % number for number in range(20)), b"data")),
        form(*[part(b'Content-Disposition: form-data; name="x"', b"")] * 20, part(FILE, b"data")),
        part(FILE, b"data") + b"--" + BOUNDARY + b"\r\n" + b"x" * 10_000,
    ],
)
def test_what_is_no_form_with_one_file_is_refused(text: bytes) -> None:
    assert status(text) == 400


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", KIND + "x" * 70])
def test_a_form_without_a_proper_boundary_is_refused(kind: str) -> None:
    assert status(WHOLE, kind=kind) == 400


def test_a_form_is_refused_before_the_rest_of_it_is_read() -> None:
    read_pieces = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read_pieces
        for _ in range(100):
            read_pieces += 1
            yield part(b'Content-Disposition: form-data; name="x"', b"")

    with pytest.raises(ReaderError):
        b"".join(file_field(pieces(), KIND, "book"))
    assert read_pieces < 12
