"""What a list shows of a chat: a row as values for a template. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ..clock import is_believed
from ..sentences import Moment, Sentence
from ..storage.rows import ChatSummary
from ..storage.waiting import WaitingTurn
from .reader import Reader
from .typed import Typed, question_of

NOTHING_WAITS: Mapping[int, WaitingTurn] = {}
NOTHING_IS_READY: Mapping[int, int] = {}
"""The questions that wait, and those that were answered, by their chats, where there are none."""


class Row(NamedTuple):
    """A chat in a list. `number`: the turn that it leads to; `state`: what becomes of an answer in it, or when the
    newest was asked for; `about`: how far this device has read that, or how many questions there are; `excerpt`:
    what was found, where something was looked for; `waits`: the turn of which `state` tells that it waits.
    """

    chat: int
    title: Typed
    number: int
    state: Sentence
    about: Sentence | None = None
    excerpt: Typed | None = None
    waits: int = 0


def rows_of(
    reader: Reader,
    chats: Sequence[ChatSummary],
    now: float,
    waiting: Mapping[int, WaitingTurn],
    ready: Mapping[int, int],
) -> Sequence[Row]:
    """The rows of these chats. `now`: a Unix time; `waiting`: for a chat the question in it that waits; `ready`:
    the number of one whose answer this device has not seen, which is told first: its reader waits for it.
    """
    rows = []
    for chat in chats:
        about = Sentence("%(count)d question", plural="%(count)d questions", count=chat.questions)
        waits, number = None, chat.questions
        if chat.writing:
            state = Sentence("being answered")
        elif chat.id in ready:
            state, number = Sentence("ready"), ready[chat.id]
        elif waits := waiting.get(chat.id):
            state, number = _state(waits, now), waits.number
        else:
            state = when(chat.asked, now)
            if chat.newest in reader.places:
                page, pages = reader.places[chat.newest]
                about = Sentence("page %(page)d of %(pages)d", page=page, pages=pages)
        title = question_of(chat.title, reader.language)
        rows.append(Row(chat.id, title, number, state, about, waits=waits.turn if waits else 0))
    return rows


def _state(waits: WaitingTurn, now: float) -> Sentence:
    """Until when a question waits, in a list."""
    if waits.is_due(now):
        return Sentence("waits for its turn")
    return Sentence("waits until %(moment)s", moment=Moment(waits.at))


def told(waits: WaitingTurn, now: float) -> Sentence:
    """The same on its own page."""
    if waits.is_due(now):
        return Sentence("This question is asked when it is its turn.")
    return Sentence("This question waits until %(moment)s. Then the appliance asks it.", moment=Moment(waits.at))


def when(moment: float, now: float) -> Sentence:
    """A moment as the people of the house say it, in the time zone of the appliance. Both are Unix times, and `now`
    is one that is believed, or `UNKNOWN`.
    """
    if not is_believed(moment):
        return Sentence("on an unknown day")
    then, today = datetime.fromtimestamp(moment), datetime.fromtimestamp(now)
    if then.date() == today.date():
        return Sentence("today, %(time)s", time=then.strftime("%H:%M"))
    if then.date() == (today - timedelta(days=1)).date():
        return Sentence("yesterday, %(time)s", time=then.strftime("%H:%M"))
    return Sentence("on %(date)s", date=then.date().isoformat())
