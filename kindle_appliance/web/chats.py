"""Routes: the list of all chats, the way into one, and its deletion."""

from __future__ import annotations

import logging
import time

from bottle import HTTPError, HTTPResponse

from ..answers.desk import AnswerDesk
from ..errors import StorageError
from ..storage.chats import Chats
from . import replies
from .pages import Pages
from .paths import NUMBER
from .visitor import Visitors

log = logging.getLogger(__name__)

_MOST_CHATS = 200


class ChatList:
    """`GET /chats`, `GET /chats/<chat>`, `GET` and `POST /chats/<chat>/delete`."""

    def __init__(self, visitors: Visitors, pages: Pages, chats: Chats, desk: AnswerDesk) -> None:
        self._visitors = visitors
        self._pages = pages
        self._chats = chats
        self._desk = desk
        self.routes = (
            ("GET", "/chats", self.show),
            ("GET", f"/chats/<chat:re:{NUMBER}>", self.go_to_newest),
            ("GET", f"/chats/<chat:re:{NUMBER}>/delete", self.confirm_deletion),
            ("POST", f"/chats/<chat:re:{NUMBER}>/delete", self.delete),
        )

    def show(self) -> HTTPResponse:
        """`GET /chats`."""
        page = self._pages.list(self._visitors.reader(), self._chats.recent(_MOST_CHATS), time.time())
        return replies.html(page)

    def go_to_newest(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>`: to its newest turn."""
        count = self._chats.count_turns(int(chat))
        if not count:
            raise HTTPError(404)
        return replies.see_other(f"/chats/{int(chat)}/{count}")

    def confirm_deletion(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>/delete`: the page that asks whether it is meant."""
        turn, count = self._chats.find_turn(int(chat), 1), self._chats.count_turns(int(chat))
        if turn is None:
            raise HTTPError(404)
        return replies.html(self._pages.deletion(self._visitors.reader(), turn, count))

    def delete(self, chat: str) -> HTTPResponse:
        """`POST /chats/<chat>/delete`: forget this chat; back to the others."""
        try:
            self._desk.delete(int(chat))
        except KeyError:
            raise HTTPError(404) from None
        except StorageError as error:
            log.error("web: %s", error)
            raise HTTPError(503, error.sentence) from None
        return replies.see_other("/chats")
