"""Routes: the page to ask on, and the form that it sends."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bottle import HTTPResponse, request

from ..answers.desk import AnswerDesk
from ..clock import now
from ..errors import NOT_UNDERSTOOD, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.chats import Chats, check_question, clean
from ..storage.rate_limit import RateLimit
from ..storage.rows import ChatSummary
from ..text.hyphens import Hyphens
from . import cookies, replies, visitor
from .book_pages import BookRow
from .forms import is_form, new_form_id, sent_form_id
from .listed import NOTHING_IS_READY, NOTHING_WAITS
from .pages import Pages
from .paths import is_number, turn_path
from .visitor import Visitors

log = logging.getLogger(__name__)

_RECENT_CHATS = 6
_CHAT_GONE = Sentence("That chat is gone. A question starts a new one.")


@dataclass(frozen=True)
class Asking:
    """`GET /`, `POST /ask`. `in_hand`: the book that this request's reader reads."""

    visitors: Visitors
    pages: Pages
    chats: Chats
    desk: AnswerDesk
    rate_limit: RateLimit
    hyphens: Hyphens
    in_hand: Callable[[], BookRow | None]

    def show(self) -> HTTPResponse:
        """`GET /`, with `?chat=<id>` for one more question in a chat, or `?start=<number>` for a starter."""
        chat, start = request.query.get("chat", ""), request.query.get("start", "")
        asked_in = self._find(chat) if chat else None
        note = _CHAT_GONE if chat and asked_in is None else None
        starters = dict(enumerate(self.pages.starters(self.visitors.language())))
        starter = starters.get(int(start), "") if re.fullmatch("[0-9]{1,3}", start, re.ASCII) else ""
        page = self._page(404 if note else 200, asked_in, starter and starter + " ", note, chat)
        if cookies.breaks_at_hyphens():
            self.hyphens.has(self.visitors.own_language())  # so that its dictionary is there when an answer comes
        cookies.keep_device(page, cookies.device() or secrets.token_urlsafe(12))
        return page

    def ask(self) -> HTTPResponse:
        """`POST /ask`: a form with `question`, `chat` (may be empty) and `form`, its one-time id, and with `rung`,
        the position of the model to begin with, if that is not the first. It leads to the new turn; a script that
        accepts JSON is told where that is, or why there is none.
        """
        if not is_form():
            return self._page(415, None, note=NOT_UNDERSTOOD)
        question = clean(request.forms.getunicode("question", ""))
        chat = request.forms.getunicode("chat", "")
        asked_in = self._find(chat) if chat else None
        rung = request.forms.get("rung", "")
        try:
            if chat and asked_in is None:
                raise ReaderError(_CHAT_GONE, 404)
            check_question(question)
            charge = partial(self.rate_limit.charge, visitor.asker())
            asked = self.desk.ask(
                question,
                asked_in.id if asked_in else None,
                sent_form_id(),
                cookies.device(),
                charge,
                int(rung) if is_number(rung) else 0,
            )
        except ReaderError as error:
            replies.log_refusal(error)
            refusal = self._refuse(error.status, asked_in, question, error.sentence, chat)
            refusal.headers.update(replies.retry_after(error))
            return refusal
        except KeyError:  # deleted in this very moment
            return self._refuse(404, None, question, _CHAT_GONE, chat)
        except StorageError as error:
            log.error("web: %s", error)
            return self._refuse(503, asked_in, question, error.sentence, chat)
        response = replies.see_other(turn_path(asked))
        if visitor.wants_json():
            response = replies.to_json({"url": turn_path(asked)}, 201)
        cookies.add_unread(response, asked.id)
        return response

    def _refuse(
        self, status: int, chat: ChatSummary | None, question: str, sentence: Sentence, meant: str
    ) -> HTTPResponse:
        if visitor.wants_json():
            return replies.json_error(status, sentence, self.visitors.language())
        return self._page(status, chat, question, sentence, meant)

    def _page(
        self,
        status: int,
        chat: ChatSummary | None,
        question: str = "",
        note: Sentence | None = None,
        meant: str = "",
    ) -> HTTPResponse:
        """The page to ask on. `meant`: the chat that the request names, even if there is none."""
        device, moment = cookies.device(), now()
        recent = () if chat or not device else self.chats.recent(_RECENT_CHATS, device)
        reader = self.visitors.reader()
        page = self.pages.asking(
            reader,
            new_form_id(),
            recent,
            moment,
            question=question,
            chat=chat,
            gone=int(meant) if is_number(meant) else 0,
            note=note or self._notice(),
            is_first_visit=not device,
            trouble=self.chats.notice(moment),
            in_hand=None if chat or not device else self.in_hand(),
            waiting=self.chats.waiting.by_chat() if recent else NOTHING_WAITS,
            ready=self.chats.ready(reader.unread) if recent else NOTHING_IS_READY,
        )
        return replies.html(page, status)

    def _notice(self) -> Sentence | None:
        """What to know before a question is asked: how few are left, or that none can be stored."""
        try:
            return self.rate_limit.notice(visitor.asker())
        except StorageError as error:
            return error.sentence

    def _find(self, chat: str) -> ChatSummary | None:
        return self.chats.find_chat(int(chat)) if is_number(chat) else None
