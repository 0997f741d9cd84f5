"""Which page has what: a chat, a turn, a list as values for the templates in static/. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from ..answers.answer import News
from ..answers.going_on import GO_ON, go_on_from
from ..clock import UNKNOWN
from ..ending import Ending, Finish
from ..host.mdns import Snapshot, State
from ..host.network import web_address
from ..sentences import Sentence, joined
from ..storage.chats import Hits
from ..storage.reports import Report
from ..storage.rows import ChatSummary, Place, Turn
from ..storage.waiting import WaitingTurn
from .answerers import Answerer, who_answers
from .book_pages import BookRow
from .credit import answered_by, why_not
from .layout import SCRIPTS, Layout
from .listed import NOTHING_IS_READY, NOTHING_WAITS, Row, rows_of, told, when
from .look import OFFERED
from .paths import turn_path
from .reader import Reader
from .templates import Page
from .typed import Typed, question_of, without_signs

STARTERS = (
    Sentence("Explain:"),
    Sentence("Summarize:"),
    Sentence("Translate into English:"),
    Sentence("Recommend books like"),
)
FOLLOW_UPS = (Sentence("Simpler"), Sentence("Shorter"), Sentence("More"), Sentence("An example"))
"""What stands for typing on a slow keyboard, unless the house has settings of its own."""

MDNS_STATES = {
    State.OFF: Sentence("The appliance has no name on this network: announcing one is switched off."),
    State.NO_NETWORK: Sentence("The appliance has no network at the moment."),
    State.PROBING: Sentence(
        "The appliance is finding a name for itself on this network; that takes a few seconds."
    ),
    State.UP: Sentence("Telephones and computers know the name, most Kindles do not: they need the numbers."),
    State.FAILED: Sentence("The name cannot be announced at the moment; the numbers work all the same."),
}
"""What readers are told of the name on the network."""

_ASK_AGAIN = Sentence("Ask again")
_RELOAD_SECONDS = 5
_LEAST_WAITING_SECONDS = 60  # until the page of a question that waits is opened anew, also behind its moment
_DAY = 86400
_FIGURES = (
    *("device", "engine", "page", "keyboard", "zoom", "ratio", "screen", "answers", "pieces", "first", "lacks"),
    *("untested", "cookies", "sentCookies", "storage", "windowName", "clock", "zone", "agent", "row"),
)
"""What static/check.js finds and static/reports.html has a place for."""


class Pages:
    """All pages of the appliance but those of books. `starters` and `follow_ups` replace the built-in ones unless
    they are None. `answerers`: who answers, unless it is the demo.
    """

    def __init__(
        self,
        layout: Layout,
        starters: Sequence[str] | None = None,
        follow_ups: Sequence[str] | None = None,
        answerers: Sequence[Answerer] = (),
    ) -> None:
        self._layout = layout
        self._starters = starters
        self._follow_ups = follow_ups
        self._answerers = answerers

    def starters(self, language: str) -> list[str]:
        """Beginnings of questions, for the reader to complete."""
        return _said(self._starters, STARTERS, language)

    def asking(
        self,
        reader: Reader,
        form: str,
        recent: Sequence[ChatSummary],
        now: float,
        *,
        question: str = "",
        chat: ChatSummary | None = None,
        gone: int = 0,
        note: Sentence | None = None,
        is_first_visit: bool = False,
        trouble: Sentence | None = None,
        in_hand: BookRow | None = None,
        waiting: Mapping[int, WaitingTurn] = NOTHING_WAITS,
        ready: Mapping[int, int] = NOTHING_IS_READY,
    ) -> Page:
        """The page to ask on: a new question, or one more in `chat`. `gone`: the id of the deleted chat that was
        meant, whose draft is not the start page's. `question` and `note` bring back what was typed and why it was
        not sent. `form` is the one-time id of this form. `trouble`: what all readers must know. `in_hand`: the
        book that the reader reads. `waiting` and `ready`: as in `rows_of()`.
        """
        return self._layout.page(
            reader,
            "asking.html",
            scripts=SCRIPTS["asking"],
            given={"chat": chat.id if chat else gone},
            chat=chat.id if chat else "",
            called=question_of(chat.title, reader.language) if chat else "",
            question=question,
            form=form,
            note=note,
            starters=() if chat else self.starters(reader.language),
            is_first_visit=is_first_visit,
            told=who_answers(self._answerers, reader.language) if is_first_visit else "",
            offered=OFFERED,
            trouble=trouble,
            in_hand=in_hand,
            rows=rows_of(reader, recent, now, waiting, ready),
            address=f"/?chat={chat.id}" if chat else "/",
        )

    def reading(
        self,
        reader: Reader,
        turn: Turn,
        place: Place,
        news: News,
        form: str,
        notice: Sentence | None = None,
        justified: str | None = None,
        now: float = UNKNOWN,
        waits: WaitingTurn | None = None,
    ) -> Page:
        """The page of one turn: its question and its answer so far. A script follows the rest.
        `place`: where it stands in its chat. `news`: the answer from its beginning on. `form`: the one-time id of
        the forms that ask again or on. `notice`: what to say beside them. `justified`: the language in which
        text is hyphenated and justified; None: it is ragged. `now`: a Unix time. `waits`: until when the question
        waits for a quota, if it does.
        """
        blocks, ending = news.blocks, news.ending
        address = turn_path(turn)
        given: dict[str, Any] = {"answer": turn.id}
        state, tail = None, news.tail.html if news.tail else ""
        if ending is None:
            given |= {"upto": blocks[-1].upto if blocks else 0, "tail": tail, "hyphens": justified or ""}
            if not blocks and not tail:
                state = next(iter(news.states), None) or Sentence("Waiting ...")
        reload_seconds = _RELOAD_SECONDS if ending is None else None
        if waits:
            reload_seconds = max(_LEAST_WAITING_SECONDS, math.ceil(min(waits.at - now, _DAY)))
            given["wait"] = reload_seconds
        return self._layout.page(
            reader,
            "reading.html",
            scripts=SCRIPTS["waiting" if waits else "reading" if ending else "writing"],
            given=given,
            reload_seconds=reload_seconds,
            address=address,
            turn=turn,
            place=place,
            question=question_of(turn.question, reader.language),
            blocks=blocks,
            justified=justified,
            tail=tail,
            ending=ending,
            by=answered_by(ending) if ending else None,
            why=why_not(ending) if ending else None,
            is_empty=_is_empty(turn, ending, bool(blocks)),
            next_rung=ending.next_rung if ending else 0,
            state=state,
            form=form,
            notice=notice,
            buttons=()
            if waits
            else _ways_on(turn, ending, bool(blocks), turn.number >= place.last, reader.language),
            is_offered=not waits and ending is not None and ending.back_at > now,
            waits=told(waits, now) if waits else None,
            follow_ups=_said(self._follow_ups, FOLLOW_UPS, reader.language),
        )

    def why(self, reader: Reader, turn: Turn, ending: Ending) -> Page:
        """Who answered, and why the models before it in the list did not."""
        by = answered_by(ending)
        return self._layout.page(reader, "why.html", back=turn_path(turn), by=by, passed=ending.passed)

    def about(self, reader: Reader) -> Page:
        """Who answers, and what leaves the house for it."""
        answerers = self._answerers
        return self._layout.page(
            reader, "about.html", told=who_answers(answerers, reader.language), answerers=answerers
        )

    def lost(self, reader: Reader, chat: int, place: Place) -> Page:
        """In the place of a turn that was lost among others of its chat."""
        return self._layout.page(reader, "lost.html", chat=chat, place=place)

    def list(
        self,
        reader: Reader,
        chats: Sequence[ChatSummary],
        now: float,
        has_newer: bool = False,
        has_older: bool = False,
        trouble: Sentence | None = None,
        waiting: Mapping[int, WaitingTurn] = NOTHING_WAITS,
        ready: Mapping[int, int] = NOTHING_IS_READY,
    ) -> Page:
        """A page of the list of all chats, newest first, and whether there are newer and older ones. `trouble`:
        what all readers must know. `waiting` and `ready`: as in `rows_of()`.
        """
        newer = f"/chats?after={chats[0].newest}" if has_newer else None
        older = f"/chats?before={chats[-1].newest}" if has_older else None
        end = "/chats" if newer else "/chats?after=0" if older else None
        address = f"/chats?before={chats[0].newest + 1}" if newer else "/chats"
        rows = rows_of(reader, chats, now, waiting, ready)
        return self._list(reader, rows, address, newer, end, older, trouble=trouble)

    def found(
        self, reader: Reader, words: str, hits: Hits, now: float, before: int | None, note: Sentence | None
    ) -> Page:
        """A page of the chats in which `words` were found: those from below the turn `before` on, or the newest.
        `note`: what to say about the search.
        """
        rows = [
            Row(
                hit.chat.id,
                question_of(hit.chat.title, reader.language),
                hit.number,
                when(hit.asked, now),
                excerpt=Typed(without_signs(hit.excerpt)),
            )
            for hit in hits.hits
        ]
        first = f"/chats?q={quote(words, safe='')}" if words else "/chats"
        older = f"{first}&before={hits.older}" if hits.older else None
        address = first if before is None or not words else f"{first}&before={before}"
        return self._list(reader, rows, address, None, first if before else None, older, words, note)

    def _list(
        self,
        reader: Reader,
        rows: Sequence[Row],
        address: str,
        newer: str | None,
        end: str | None,
        older: str | None,
        words: str | None = None,
        note: Sentence | None = None,
        trouble: Sentence | None = None,
    ) -> Page:
        """`words`: what was looked for, None if nothing was. The rest are rows, notes and addresses."""
        return self._layout.page(
            reader,
            "list.html",
            rows=rows,
            words=None if words is None else Typed(words),
            note=note,
            trouble=trouble,
            address=address,
            newer=newer,
            end=end,
            older=older,
        )

    def edit(
        self, reader: Reader, chat: ChatSummary, name: str | None = None, note: Sentence | None = None
    ) -> Page:
        """The page from which a chat is renamed or deleted. `name` and `note`: what was refused, and why."""
        name = chat.name if name is None else name
        return self._layout.page(
            reader,
            "edit.html",
            chat=chat,
            first=question_of(chat.first, reader.language),
            called=Typed(name),
            note=note,
        )

    def deletion(self, reader: Reader, chat: ChatSummary) -> Page:
        """Asks for confirmation before a chat is deleted."""
        return self._layout.page(
            reader, "deletion.html", chat=chat, called=question_of(chat.title, reader.language)
        )

    def message(self, reader: Reader, sentence: Sentence, is_of_books: bool = False) -> Page:
        """A page that says one thing: an error, mostly. `is_of_books`: it leads to them, not to the chats."""
        return self._layout.page(reader, "message.html", sentence=sentence, is_of_books=is_of_books)

    def pin(self, reader: Reader, back: str, digits: str = "", note: Sentence | None = None) -> Page:
        """The page that asks for the PIN. `digits`: those of it that have been entered; `back`: the page to go on
        to; `note`: why the PIN that was sent did not do.
        """
        return self._layout.page(reader, "pin.html", scripts=("pin",), back=back, digits=digits, note=note)

    def addresses(self, reader: Reader, addresses: Sequence[str], port: int, mdns: Snapshot) -> Page:
        """What to type into a Kindle: `addresses` first, which work in all of them, the name last."""
        named = [mdns.name] if mdns.state is State.UP else []
        state = joined(filter(None, (MDNS_STATES[mdns.state], mdns.reason)), reader.language)
        urls = [web_address(each, port) for each in (*addresses, *named)]
        return self._layout.page(reader, "addresses.html", urls=urls, state=state)

    def check(self, reader: Reader, now: float) -> Page:
        """The page that tests the browser which opens it. `now`: what the appliance's clock shows (Unix time)."""
        zone = time.localtime(now).tm_gmtoff // 60
        return self._layout.page(reader, "check.html", scripts=("check",), now=int(now * 1000), zone=zone)

    def reports(self, reader: Reader, reports: Sequence[Report], now: float) -> Page:
        """What browsers have reported of themselves, newest first."""
        shown = []
        for report in reports:
            more = {name: _in_words(value, reader.language) for name, value in report.values.items()}
            figures = {name: more.pop(name, "") for name in _FIGURES}
            shown.append(_ReportInWords(when(report.received, now), figures, more))
        return self._layout.page(reader, "reports.html", reports=shown)


class _ReportInWords(NamedTuple):
    """A report as text. `figures` has all of `_FIGURES`, `more` what the report has besides."""

    when: Sentence
    figures: Mapping[str, str]
    more: Mapping[str, str]


def _is_empty(turn: Turn, ending: Ending | None, has_text: bool) -> bool:
    """Whether an answer ended before its first word, so that asking again is all that is left to do. A question
    that the provider's rules refuse would be refused again, and one that the card has damaged cannot be sent.
    """
    return ending is not None and not has_text and ending.finish is not Finish.BLOCKED and bool(turn.question)


def _ways_on(
    turn: Turn, ending: Ending | None, has_text: bool, is_last: bool, language: str
) -> Sequence[tuple[str, str, Sentence]]:
    """The buttons that continue an answer without an end, or ask for it anew: kind, question to send, label. While
    nobody knows how the answer ends, all are there, and the style sheet shows those that fit.
    """
    if _is_empty(turn, ending, has_text):
        return [("anew", turn.question, _ASK_AGAIN)]
    finish = ending.finish if ending else None
    buttons = []
    if finish is None or (finish in (Finish.INTERRUPTED, Finish.LENGTH) and has_text):
        go_on = GO_ON if is_last or not turn.answer else go_on_from(turn.answer)
        buttons.append(("go-on", go_on.to(language), Sentence("Go on")))
    if finish in (None, Finish.INTERRUPTED) and turn.question:
        buttons.append(("retry", turn.question, Sentence("Try again")))
    if finish in (None, Finish.FAILED) and turn.question:
        buttons.append(("anew", turn.question, _ASK_AGAIN))
    return buttons


def _said(chosen: Sequence[str] | None, built_in: Sequence[Sentence], language: str) -> list[str]:
    return [sentence.to(language) for sentence in built_in] if chosen is None else list(chosen)


def _in_words(value: Any, language: str) -> str:
    """A value of a report as text."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_in_words(each, language)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_in_words(each, language) for each in value) or "-"
    if isinstance(value, bool):
        return (Sentence("yes") if value else Sentence("no")).to(language)
    return Sentence("not tested").to(language) if value is None else str(value)
