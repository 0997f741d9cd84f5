"""Routes: let a question wait until a quota is back, and take it back."""

from __future__ import annotations

from dataclasses import dataclass

from bottle import HTTPResponse, request

from ..ending import Finish
from ..errors import LimitError
from ..storage.buckets import Buckets
from ..storage.chats import Chats
from ..storage.rows import Turn
from . import cookies, replies, visitor
from .paths import is_own_page, turn_path

WAITS_PER_ADDRESS, WAITS, WAIT_SECONDS = 30, 120, 1800
"""So often questions can be let wait from one address, and from all; after as many seconds again."""


@dataclass(frozen=True)
class Waiting:
    """`POST /answers/<id>/wait`, `POST /answers/<id>/withdraw`."""

    chats: Chats
    buckets: Buckets

    def let_wait(self, answer: str) -> HTTPResponse:
        """`POST /answers/<id>/wait`: ask this question when a quota is back. It leads to the page of the turn, also
        if there is nothing to wait for any more; a script that accepts JSON is told where that is.
        """
        turn, waiting = self._find(answer), self.chats.waiting
        with replies.telling():
            waits = waiting.find(turn.id) is not None  # a second tap costs nothing
            if not waits:
                if wait := visitor.take(self.buckets, WAITS_PER_ADDRESS, WAITS):
                    raise LimitError.too_often(wait)
                waits = waiting.let_wait(turn.id)
        response = replies.see_other(turn_path(turn))
        if visitor.wants_json():
            response = replies.to_json({"url": turn_path(turn)}, 201)
        if waits:
            cookies.add_unread(response, turn.id)
        return response

    def withdraw(self, answer: str) -> HTTPResponse:
        """`POST /answers/<id>/withdraw`: let it wait no longer; to the page that a form names as `back`, or to that
        of the turn.
        """
        turn = self._find(answer)
        with replies.telling():
            if self.chats.waiting.find(turn.id) is not None:
                self.chats.waiting.withdraw(turn.id)
        ending = self._find(answer).ending  # as it is now: it may have been asked since the page was made
        back = request.forms.get("back", "")
        response = replies.see_other(back if is_own_page(back) else turn_path(turn))
        if ending and ending.finish is Finish.FAILED:
            cookies.drop_unread(response, turn.id)
        return response

    def _find(self, answer: str) -> Turn:
        turn = self.chats.find_turn_by_id(int(answer))
        if turn is None:
            raise replies.not_found(self.chats.is_deleted_turn(int(answer)))
        return turn
