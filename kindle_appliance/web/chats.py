"""Routes: the list of all chats, the way into one, and its deletion."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bottle import HTTPError, HTTPResponse

from ..answers.desk import AnswerDesk
from ..clock import now
from ..errors import StorageError
from ..storage.chats import Chats
from . import replies
from .pages import Pages
from .visitor import Visitors

log = logging.getLogger(__name__)

_MOST_CHATS = 200


@dataclass(frozen=True)
class ChatList:
    """`GET /chats`, `GET /chats/<chat>`, `GET` and `POST /chats/<chat>/delete`."""

    visitors: Visitors
    pages: Pages
    chats: Chats
    desk: AnswerDesk

    def show(self) -> HTTPResponse:
        """`GET /chats`."""
        chats = self.chats.recent(_MOST_CHATS)  # first: it may be this that meets the damage
        moment = now()
        return replies.html(self.pages.list(self.visitors.reader(), chats, moment, self.chats.notice(moment)))

    def go_to_newest(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>`: to its newest turn."""
        last = self.chats.place(int(chat), 0).last
        if not last:
            raise replies.not_found(self.chats.is_deleted_chat(int(chat)))
        return replies.see_other(f"/chats/{int(chat)}/{last}")

    def confirm_deletion(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>/delete`: the page that asks whether it is meant."""
        turn, count = self.chats.first_turn(int(chat)), self.chats.count_turns(int(chat))
        if turn is None:
            raise replies.not_found(self.chats.is_deleted_chat(int(chat)))
        return replies.html(self.pages.deletion(self.visitors.reader(), turn, count))

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
