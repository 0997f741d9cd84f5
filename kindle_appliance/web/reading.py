"""Routes: the page of a turn, its answer while it is written, and Stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bottle import HTTPError, HTTPResponse, request

from ..answers.answer import Answer, News
from ..answers.desk import BY_DELETION, AnswerDesk
from ..clock import now
from ..ending import Ending, Finish
from ..errors import BUSY
from ..sentences import Sentence
from ..storage.chats import Chats
from ..storage.rate_limit import RateLimit
from ..storage.rows import Turn
from ..storage.waiting import WaitingTurn
from ..text.hyphens import DICTIONARIES, Hyphens
from ..text.languages import language_of
from ..typesetting.typesetter import Block
from . import cookies, frames, replies, visitor
from .forms import new_form_id
from .headers import TRY_SOON
from .pages import Pages
from .paths import is_number, turn_path
from .seats import Seats
from .streams import BEAT_SECONDS, POLL_MS, Moments, Waits, follow_events, follow_html, follow_text
from .templates import Page
from .visitor import Visitors

_BLOCKS = "\0"
"""Marks where a page has its blocks. No question and no answer has this character, see `chats.clean()`."""

_TELLING = 1000
"""So many characters at the beginning of an answer tell its language."""


@dataclass(frozen=True)
class Reading:
    """`GET /chats/<chat>/<number>`, the same with `/why`, `GET /answers/<id>`, `POST /answers/<id>/stop`."""

    visitors: Visitors
    pages: Pages
    chats: Chats
    desk: AnswerDesk
    rate_limit: RateLimit
    seats: Seats
    hyphens: Hyphens
    moments: Moments = field(default_factory=Moments)

    def show(self, chat: str, number: str) -> HTTPResponse:
        """`GET /chats/<chat>/<number>`: one question and its answer."""
        turn = self.chats.find_turn(int(chat), int(number))
        waits = None
        if turn:
            waits = self._find_waiting(turn.id, turn.ending)  # before the answer: it is written when this is gone
        answer = self.desk.find(turn.id) if turn else None
        if turn is None or answer is None:
            return self._tell_of_loss(int(chat), int(number))
        place = self.chats.place(turn.chat, turn.number)
        follower, ending = answer.follow(), answer.ending  # if it ends only now, the page follows it
        news = self.moments.look(follower)
        reader = self.visitors.reader()
        justified = self._justified(turn, answer)
        change = self._change(justified)
        notice = self.rate_limit.notice(visitor.asker())
        waits = self._find_waiting(turn.id, news.ending, waits)  # it may have failed and wait again only now
        moment = now()

        def page_of(news: News) -> Page:
            form = new_form_id()
            return self.pages.reading(reader, turn, place, news, form, notice, justified, moment, waits)

        seat = None
        if news.ending is None and ending is not None and request.method != "HEAD":
            seat = self.seats.take(visitor.source())
        if seat is not None:
            blocks = seat.hold(follow_html(follower, news, change, visitor.is_gone()))
            page = replies.html_around(page_of(News([Block(_BLOCKS, 0)], None, ending)), _BLOCKS, blocks)
        else:  # what there is; if that is not all, the page follows the rest
            ending = news.ending
            page = replies.html(page_of(news.with_html(change)))
        if ending is not None and not waits:
            cookies.drop_unread(page, turn.id)
        return page

    def explain(self, chat: str, number: str) -> HTTPResponse:
        """`GET /chats/<chat>/<number>/why`: who answered, and why not the first of the list."""
        turn = self.chats.find_turn(int(chat), int(number))
        answer = self.desk.find(turn.id) if turn else None
        if turn is None or answer is None:
            return self._tell_of_loss(int(chat), int(number))
        if answer.ending is None:
            return replies.see_other(turn_path(turn))
        return replies.html(self.pages.why(self.visitors.reader(), turn, answer.ending))

    def _find_waiting(
        self, turn: int, ending: Ending | None, before: WaitingTurn | None = None
    ) -> WaitingTurn | None:
        """The row of a turn that has ended so, or that `before`, if it waits: only one that has failed can."""
        has_failed = ending is not None and ending.finish is Finish.FAILED
        return self.chats.waiting.find(turn) or before if has_failed else None

    def _justified(self, turn: Turn, answer: Answer) -> str | None:
        """The language in which this page is hyphenated and justified: that of the answer so far, or else of the
        question, or else of the reader. None if the page is ragged: the browser breaks no lines at soft hyphens,
        the language is in doubt, or it has no dictionary in memory. The page stays so while the answer grows.
        """
        if not cookies.breaks_at_hyphens():
            return None
        asked_in = language_of(turn.question, self.visitors.own_language())
        language = language_of(answer.beginning(_TELLING), asked_in)
        return language if self.hyphens.has(language) else None

    def _change(self, language: str | None) -> Callable[[str], str]:
        """The change of an answer's HTML for a page in this language."""
        return partial(self.hyphens.into, language=language) if language in DICTIONARIES else str

    def _tell_of_loss(self, chat: int, number: int) -> HTTPResponse:
        """A 404; for a turn that was lost among others of its chat, with ways to those."""
        place = self.chats.place(chat, number)
        if not 0 < number < place.last:
            raise replies.not_found(self.chats.is_deleted_chat(chat))
        return replies.html(self.pages.lost(self.visitors.reader(), chat, place), 404)

    def follow(self, answer: str) -> HTTPResponse:
        """`GET /answers/<id>?from=<offset>&as=events|text&wait=0&hyphens=<language>`: the answer from an offset
        on, until it ends or, with `wait=0`, as far as it goes now; as events with soft hyphens for that language,
        if it has any. `Last-Event-ID` counts before `from`. Without a free seat events say to come again with
        `wait=0`, and text is a 503: half of it would look like all of it. As events, even the 404 for a deleted
        answer ends with an `end`, by which a page knows it from a foreign server's.
        """
        start, as_events = _wanted()
        kind = frames.EVENT_STREAM if as_events else frames.PLAIN_TEXT
        language = self.visitors.language()
        found = self.desk.find(int(answer))
        if found is None:
            was_deleted = self.chats.is_deleted_turn(int(answer))
            if was_deleted and as_events:
                return HTTPResponse(frames.end(BY_DELETION, language), 404, {"Content-Type": kind})
            raise replies.not_found(was_deleted)
        if request.get_header("Last-Event-ID") == frames.END_ID:
            return HTTPResponse(status=204)  # after any other status, an EventSource would come again
        is_now = request.query.get("wait") == "0"
        waits = partial(self._find_waiting, int(answer))
        if is_now or found.ending is not None:
            whole = self._whole(found, start, as_events, is_now, waits)
            if whole is not None:
                return HTTPResponse(whole, headers={"Content-Type": kind})
        if request.method == "HEAD":
            return replies.head_of_stream(kind)
        is_gone = visitor.is_gone()
        change = self._change(request.query.get("hyphens"))
        if as_events:
            body = follow_events(found, start, language, change, is_gone, waits)
        else:
            body = follow_text(found, start, is_gone)
        if seat := self.seats.take(visitor.source()):
            return replies.stream(seat.hold(body), kind)
        if as_events:
            return HTTPResponse(frames.PADDING + frames.retry(POLL_MS), headers={"Content-Type": kind})
        return HTTPResponse(BUSY.to(language), 503, {"Content-Type": kind, **TRY_SOON})

    def _whole(self, answer: Answer, start: int, as_events: bool, is_now: bool, waits: Waits) -> bytes | None:
        """The answer from `start` on as one body: as far as it goes now, or to its end; None if it is too long for
        that. `waits`: whether its question does, after an ending.
        """
        if not as_events:
            return answer.text(start).encode()
        news = self.moments.look(answer.follow(start)).with_html(self._change(request.query.get("hyphens")))
        if not is_now and news.ending is None:
            return None
        return frames.events(news, self.visitors.language(), bool(waits(news.ending)))

    def stop(self, answer: str) -> HTTPResponse:
        """`POST /answers/<id>/stop`: write no more; back to the turn."""
        turn = self.chats.find_turn_by_id(int(answer))
        found = self.desk.find(int(answer))
        if turn is None or found is None:
            raise replies.not_found(self.chats.is_deleted_turn(int(answer)))
        self.desk.stop(turn.id)
        found.wait_for_end(BEAT_SECONDS)
        return HTTPResponse(status=204) if visitor.wants_json() else replies.see_other(turn_path(turn))


def _wanted() -> tuple[int, bool]:
    """The offset to begin at, and whether events are wanted. Raises the response for a wrong request."""
    offset, last = request.query.get("from", "0"), request.get_header("Last-Event-ID", "")
    if not is_number(offset):
        raise HTTPError(400, Sentence("“from” must be an offset: a whole number from 0 on."))
    if is_number(last):
        offset = last  # an EventSource connects again to its old address, with the old offset in it
    accepts_events = "text/event-stream" in request.get_header("Accept", "")
    wanted = request.query.get("as") or ("events" if accepts_events else "text")
    if wanted not in ("events", "text"):
        raise HTTPError(400, Sentence("“as” must be “events” or “text”."))
    return int(offset), wanted == "events"
