"""Responses: a page, JSON, a redirect, and what an error becomes."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain

from bottle import HTTPError, HTTPResponse, request

from ..answers.answer import Answer
from ..ending import DELETED, Finish
from ..errors import LimitError, ReaderError, StorageError, UpstreamError, UpstreamSilent
from ..sentences import Sentence
from .headers import POLICY, UNBUFFERED
from .templates import Page

log = logging.getLogger(__name__)

_GZIP = 31  # zlib's window bits for the format of gzip


def html(page: Page, status: int = 200) -> HTTPResponse:
    """A page, packed for a browser that takes it so: it then fits the first flight of a TCP connection."""
    headers, is_packed = _headers(page)
    body = page.encode()
    return HTTPResponse(gzip.compress(body, 6, mtime=0) if is_packed else body, status, headers)


def html_around(page: Page, mark: str, middle: Generator[bytes]) -> HTTPResponse:
    """A page that is sent piece by piece: `middle` comes in the place of `mark`."""
    headers, is_packed = _headers(page)
    head, _, tail = page.partition(mark)
    return HTTPResponse(_sent(head.encode(), middle, tail.encode(), is_packed), headers=headers)


def _headers(page: Page) -> tuple[dict[str, str], bool]:
    """The headers of a page, and whether it is packed."""
    headers = {"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding", POLICY: page.policy}
    is_packed = "gzip" in request.get_header("Accept-Encoding", "")
    return headers | ({"Content-Encoding": "gzip"} if is_packed else {}), is_packed


def _sent(head: bytes, middle: Generator[bytes], tail: bytes, is_packed: bool) -> Iterator[bytes]:
    deflate = zlib.compressobj(6, wbits=_GZIP)
    with closing(middle):
        for piece in chain([head], middle, [tail]):
            yield deflate.compress(piece) + deflate.flush(zlib.Z_SYNC_FLUSH) if is_packed else piece
    if is_packed:
        yield deflate.flush()


def to_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    """A value as JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return HTTPResponse(text, status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def stream(body: Iterator[bytes], content_type: str) -> HTTPResponse:
    """A response that goes on while an answer is written."""
    return HTTPResponse(body, headers=dict([("Content-Type", content_type), UNBUFFERED]))


def head_of_stream(content_type: str) -> HTTPResponse:
    """The response to HEAD where GET gets a stream: its headers. Nothing is started for it, and no seat taken."""
    return stream(iter([b"\n"]), content_type)  # dropped later; without it, the headers would tell a length of 0


def json_error(
    status: int, sentence: Sentence, language: str, headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """An error for a script: `{"error": "a sentence"}`."""
    return to_json({"error": sentence.to(language)}, status, headers)


def not_found(was_deleted: bool) -> HTTPError:
    """The error for a page that is not there; whether it was before its chat was deleted."""
    return HTTPError(404, DELETED if was_deleted else None)


def see_other(path: str) -> HTTPResponse:
    """To another page, with a GET (RFC 9110, 15.4.4)."""
    return HTTPResponse(status=303, headers={"Location": path})


def retry_after(error: Exception | None) -> dict[str, str]:
    """The header that says when it may be tried again, if the error knows."""
    seconds = error.retry_after if isinstance(error, UpstreamError | LimitError) else None
    return {} if seconds is None else {"Retry-After": str(int(seconds) + 1)}


@contextmanager
def telling() -> Iterator[None]:
    """Turns an error into the response that tells of it."""
    try:
        yield
    except ReaderError as error:
        log_refusal(error)
        raise HTTPError(error.status, error.sentence, **retry_after(error)) from None
    except StorageError as error:
        log.error("web: %s", error)
        raise HTTPError(503, error.sentence) from None


def log_refusal(error: ReaderError) -> None:
    """Tell the owner of limits, which may be too narrow; not of questions that were empty or too long."""
    if isinstance(error, LimitError):
        log.info("web: refused a question from %s: %s", request.remote_addr, error)


def status_of(answer: Answer) -> int:
    """The HTTP status for an answer without text."""
    if answer.ending is not None and answer.ending.finish is Finish.BLOCKED:
        return 422
    if isinstance(answer.error, UpstreamSilent):
        return 504
    return 503 if isinstance(answer.error, UpstreamError) else 502
