"""Routes: the list of all chats, the search in them, and the renaming and deletion of one."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bottle import HTTPError, HTTPResponse, request

from ..answers.desk import AnswerDesk
from ..clock import now
from ..errors import NOT_UNDERSTOOD, LimitError, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.buckets import Buckets
from ..storage.chats import Chats, check_name, clean
from ..storage.rows import ChatSummary
from ..storage.search import NEWEST
from ..storage.terms import MOST_ASKED_CHARACTERS, Query
from . import replies, visitor
from .forms import is_form
from .pages import Pages
from .paths import is_number
from .visitor import Visitors

log = logging.getLogger(__name__)

_ROWS = 20
"""Of a page."""
RENAMES_PER_ADDRESS, RENAMES, RENAME_SECONDS = 30, 120, 1800
"""So many chats can be renamed at once from one address, and from all; after as many seconds, all of them again."""


@dataclass(frozen=True)
class ChatList:
    """`GET /chats`, `GET /chats/<chat>`, `GET /chats/<chat>/edit`, `POST /chats/<chat>/rename`, `GET` and
    `POST /chats/<chat>/delete`.
    """

    visitors: Visitors
    pages: Pages
    chats: Chats
    desk: AnswerDesk
    buckets: Buckets

    def show(self) -> HTTPResponse:
        """`GET /chats`: the newest ones. `?before=<id of a turn>`: the next older ones. `?after=<id>`: the next
        newer ones, from 0 on the oldest. `?q=<words>`: those in which the words occur.
        """
        if "q" in request.query:
            return self._search(clean(request.query.getunicode("q") or "")[:MOST_ASKED_CHARACTERS])
        before, after = _number("before"), _number("after")
        listed = self.chats.recent(_ROWS, before=before or NEWEST)
        if after is not None:
            newer = self.chats.after(_ROWS, after)
            if self._has_newer(newer):
                listed = newer
        if not listed and before is not None:
            return replies.see_other("/chats")
        older = bool(listed) and bool(self.chats.recent(1, before=listed[-1].newest))
        moment = now()
        trouble = self.chats.notice(moment)  # after the reading: it may be this that meets the damage
        reader, newer_ones, waiting = self.visitors.reader(), self._has_newer(listed), self.chats.waiting.by_chat()
        ready = self.chats.ready(reader.unread)
        page = self.pages.list(reader, listed, moment, newer_ones, older, trouble, waiting, ready)
        return replies.html(page)

    def _has_newer(self, listed: list[ChatSummary]) -> bool:
        return bool(listed) and bool(self.chats.after(1, listed[0].newest))

    def _search(self, words: str) -> HTTPResponse:
        query, before = Query(words), _number("before")
        found = self.chats.search(query, _ROWS, before or NEWEST)
        note = None
        if not self.chats.index.is_possible:
            note = Sentence("The chats cannot be searched on this machine.")
        elif not query.terms:
            note = Sentence("Please type a word to look for.")
        elif not found.is_whole:
            note = Sentence("Older chats are still being prepared for the search.")
        elif not found.hits:
            note = Sentence("Nothing was found.")
        page = self.pages.found(self.visitors.reader(), words, found, now(), before, note)
        return replies.html(page)

    def go_to_newest(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>`: to its newest turn."""
        last = self.chats.place(int(chat), 0).last
        if not last:
            raise replies.not_found(self.chats.is_deleted_chat(int(chat)))
        return replies.see_other(f"/chats/{int(chat)}/{last}")

    def edit(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>/edit`: the page from which a chat is renamed or deleted."""
        return replies.html(self.pages.edit(self.visitors.reader(), self._find(chat)))

    def rename(self, chat: str) -> HTTPResponse:
        """`POST /chats/<chat>/rename`: a form with `name`; the empty one brings the first question back. Back to
        the list.
        """
        known = self._find(chat)
        if not is_form():
            raise HTTPError(415, NOT_UNDERSTOOD)
        name = " ".join(clean(request.forms.getunicode("name", "")).split())
        try:
            check_name(name)
            if name != known.name:
                self._charge()
                self.chats.rename(known.id, name)
        except ReaderError as error:
            replies.log_refusal(error)
            page = self.pages.edit(self.visitors.reader(), known, name, error.sentence)
            response = replies.html(page, error.status)
            response.headers.update(replies.retry_after(error))
            return response
        except KeyError:
            raise replies.not_found(was_deleted=True) from None
        except StorageError as error:
            log.error("web: %s", error)
            raise HTTPError(503, error.sentence) from None
        return replies.see_other("/chats")

    def _charge(self) -> None:
        if wait := visitor.take(self.buckets, RENAMES_PER_ADDRESS, RENAMES):
            raise LimitError.too_often(wait)

    def confirm_deletion(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>/delete`: the page that asks whether it is meant."""
        return replies.html(self.pages.deletion(self.visitors.reader(), self._find(chat)))

    def delete(self, chat: str) -> HTTPResponse:
        """`POST /chats/<chat>/delete`: forget this chat; back to the others."""
        try:
            self.desk.delete(int(chat))
        except KeyError:
            raise replies.not_found(self.chats.is_deleted_chat(int(chat))) from None
        except StorageError as error:
            log.error("web: %s", error)
            raise HTTPError(503, error.sentence) from None
        return replies.see_other("/chats")

    def _find(self, chat: str) -> ChatSummary:
        found = self.chats.find_chat(int(chat))
        if found is None:
            raise replies.not_found(self.chats.is_deleted_chat(int(chat)))
        return found


def _number(name: str) -> int | None:
    """A number from the address; None if there is none."""
    text = request.query.get(name, "")
    return int(text) if is_number(text) else None
