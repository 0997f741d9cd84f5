"""A chat, a turn, a list as an HTML page, from the templates in static/. Pure, but for reading those once.

A page is one response: style and scripts are inlined, nothing else is loaded. In a template `$name` is a value,
escaped unless it is `Markup`, and `${Some words}` is a sentence of the catalogue.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from ..answers.desk import News
from ..answers.writing import east_asian_language, is_right_to_left, may_slant
from ..ending import Ending, Finish
from ..host.mdns import Snapshot, State
from ..host.network import web_address
from ..sentences import Sentence
from ..storage.chats import ChatSummary, Turn
from ..storage.reports import Report

_PACKAGE = Path(__file__).parent.parent
STATIC = _PACKAGE / "static" if (_PACKAGE / "static").is_dir() else _PACKAGE.parent / "static"
"""Beside the package in a checkout, inside it once installed."""

SCRIPT_SENTENCES = {
    "page": Sentence("page {page} of {pages}"),
    "writing": Sentence("Writing ..."),
    "stopping": Sentence("Stopping ..."),
    "lost": Sentence("Connection lost. What has arrived stays here."),
    "refresh": Sentence("Refresh"),
    "zoomed": Sentence("Tap twice quickly to zoom out again."),
    "sending": Sentence("Sending ..."),
    "notSent": Sentence("Not sent. Your question is still here."),
    "bold": Sentence("Bold"),
    "regular": Sentence("Regular"),
}
"""What the scripts in static/ say by themselves."""

GO_ON = Sentence("Please go on exactly where your answer broke off.")
"""The question that is sent by "Go on", where that is the last answer of its chat."""

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

SIZES = range(1, 9)
"""Text sizes: from about 50 characters a line down to 13. The style sheet has what each means."""

_TITLE_CHARACTERS = 90
_LAST_WORDS_CHARACTERS = 60
_RELOAD_SECONDS = 5
_FIGURES = (
    *("device", "engine", "page", "keyboard", "zoom", "ratio", "screen", "answers", "pieces", "first", "lacks"),
    *("untested", "cookies", "sentCookies", "storage", "windowName", "clock", "zone", "agent", "row"),
)
"""What static/check.js finds and static/report.html has a place for."""


@dataclass(frozen=True)
class Look:
    """How a reader wants text: its size, one of `SIZES`, and its weight."""

    size: int = 3
    is_bold: bool = False

    @classmethod
    def read(cls, text: str) -> Look | None:
        """From `str(look)`, which a cookie or a form holds; None for anything else."""
        match = re.fullmatch("([1-8])(b?)", text, re.ASCII)
        return cls(int(match[1]), bool(match[2])) if match else None

    def __str__(self) -> str:
        return f"{self.size}{'b' if self.is_bold else ''}"

    def sized(self, step: int) -> Look:
        """So many sizes larger, as far as sizes go."""
        return Look(min(max(self.size + step, SIZES[0]), SIZES[-1]), self.is_bold)


USUAL_LOOK = Look()


@dataclass(frozen=True)
class Reader:
    """Whom a page is for: language, look, and the ids of the answers this device has not yet seen the end of."""

    language: str
    look: Look = USUAL_LOOK
    unread: tuple[int, ...] = ()


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


class Page(str):
    """A whole page, and the policy it is to be sent with (Content Security Policy, W3C 2016): nothing runs and
    nothing styles but what has these hashes.
    """

    __slots__ = ("policy",)
    policy: str

    def __new__(cls, html: str, policy: str) -> Page:
        page = super().__new__(cls, html)
        page.policy = policy
        return page


_NOTHING = Markup()


class _Template(string.Template):
    braceidpattern = r"[^{}]+"

    def fill(self, to: str, /, **values: str | int) -> Markup:
        """The page with its sentences in the language `to`."""
        return Markup(self.substitute(_Places(to, values)))


class _Places(Mapping[str, str]):
    """What stands at a place of a template: the value of that name, or the sentence in the reader's language."""

    def __init__(self, language: str, values: Mapping[str, str | int]) -> None:
        self._language = language
        self._values = values

    def __getitem__(self, place: str) -> str:
        if place not in self._values:
            return escape(Sentence(place).to(self._language))
        value = self._values[place]
        return value if isinstance(value, Markup) else escape(str(value))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Pages:
    """All pages of the appliance. `is_demo`: answers are examples, and every page says so. `starters` and
    `follow_ups` stand instead of the built-in ones, if there are any.
    """

    def __init__(
        self,
        is_demo: bool,
        starters: Sequence[str] | None = None,
        follow_ups: Sequence[str] | None = None,
        folder: Path = STATIC,
    ) -> None:
        self._is_demo = is_demo
        self._starters = starters
        self._follow_ups = follow_ups
        self._templates = {path.stem: _Template(path.read_text(encoding="utf-8")) for path in folder.glob("*.html")}
        self._style = _without_comments((folder / "page.css").read_text(encoding="utf-8"))
        self._scripts = {
            path.stem: _without_comments(path.read_text(encoding="utf-8")) for path in folder.glob("*.js")
        }

    def starters(self, language: str) -> list[str]:
        """Beginnings of questions, to be gone on with."""
        return _said(self._starters, STARTERS, language)

    def asking(
        self,
        reader: Reader,
        form: str,
        recent: Sequence[ChatSummary],
        now: float,
        *,
        question: str = "",
        chat: Turn | None = None,
        note: Sentence | None = None,
        is_first_visit: bool = False,
    ) -> Page:
        """The page to ask on: a new question, or one more in the chat whose first turn is `chat`. `question` and
        `note` bring back what was typed and why it was not sent. `form` is the one-time id of this form.
        """
        language = reader.language
        address = f"/?chat={chat.chat}" if chat else "/"
        about, starters, hint, chats = _NOTHING, _NOTHING, _NOTHING, _NOTHING
        if chat is not None:
            goes_on = escape(Sentence("Goes on with:").to(language))
            about = Markup(f'<p class="about ui">{goes_on} <b>{escape(_short(chat.question))}</b></p>\n')
        else:
            links = [f'<a href="/?start={i}">{escape(s)}</a>' for i, s in enumerate(self.starters(language))]
            starters = Markup("\n".join(links))
        if is_first_visit:
            sentence = Sentence("To find this page again, add it to your bookmarks in the browser's menu.")
            hint = Markup(f'<p class="hint ui">{escape(sentence.to(language))}</p>\n')
        if recent:
            heading = escape(Sentence("Go on with").to(language))
            chats = Markup(f'<h2 class="section ui">{heading}</h2>\n{self._list(reader, recent, now)}')
        body = self._templates["asking"].fill(
            language,
            heading=Sentence("Ask more about this" if chat else "Ask").to(language),
            note=note.to(language) if note else "",
            question=question,
            form=form,
            chat=chat.chat if chat else "",
            about=about,
            starters=starters,
            hint=hint,
            recent=chats,
        )
        title = Sentence("Ask").to(language)
        return self._frame(reader, "asking", title, address, body, page={"chat": chat.chat if chat else 0})

    def reading(
        self, reader: Reader, turn: Turn, turns: int, news: News, form: str, notice: Sentence | None = None
    ) -> Page:
        """The page of one turn: its question and as much of its answer as has settled; a script follows the rest.
        `turns`: how many the chat has. `news`: the answer from its beginning on. `form`: the one-time id of the
        forms that ask again or on. `notice`: what to say beside them.
        """
        language, blocks, ending, state = reader.language, news.blocks, news.ending, news.position.state
        address = f"/chats/{turn.chat}/{turn.number}"
        page: dict[str, Any] = {"chat": turn.chat}
        scripts = ["page", "paginate"]
        head = _NOTHING
        if ending is None:
            scripts.append("live")
            page |= {"url": address, "answer": turn.id, "upto": blocks[-1].upto if blocks else 0}
            head = Markup(f'<noscript><meta http-equiv="refresh" content="{_RELOAD_SECONDS}"></noscript>\n')
        body = self._templates["reading"].fill(
            language,
            place=self._steps(language, turn, turns) if turns > 1 else "",
            answer=turn.id,
            question=turn.question,
            direction=_direction(turn.question),
            slant="" if may_slant(turn.question) else " upright",
            blocks=Markup("\n".join(block.html for block in blocks)),
            ending=ending.words(language) if ending else "",
            state="" if ending else (state or SCRIPT_SENTENCES["writing"]).to(language),
            address=address,
            chat=turn.chat,
            form=form,
            notice=notice.to(language) if notice else "",
            again=self._again_form(language, turn, form, ending, bool(blocks), turn.number >= turns),
            follow_ups=self._follow_up_form(language, turn, form),
        )
        kind = f"reading ended {ending.finish}" if ending else "reading writing"
        return self._frame(reader, kind, _short(turn.question), address, body, head, page, scripts)

    def list(self, reader: Reader, chats: Sequence[ChatSummary], now: float) -> Page:
        """All chats, newest first."""
        language = reader.language
        if chats:
            shown = self._list(reader, chats, now, can_delete=True)
        else:
            shown = _message(Sentence("Nothing has been asked yet."), language)
        body = self._templates["list"].fill(language, chats=shown)
        return self._frame(reader, "listing", Sentence("All chats").to(language), "/chats", body)

    def deletion(self, reader: Reader, turn: Turn, turns: int) -> Page:
        """Asks whether the chat that begins with `turn`, and has so many turns, is really to be deleted."""
        language = reader.language
        body = self._templates["deletion"].fill(
            language,
            chat=turn.chat,
            title=_short(turn.question),
            direction=_direction(turn.question),
            count=_questions(turns).to(language),
        )
        return self._frame(reader, "message", Sentence("Delete").to(language), f"/chats/{turn.chat}/delete", body)

    def message(self, reader: Reader, sentence: Sentence) -> Page:
        """A page that says one thing: an error, mostly."""
        body = self._templates["message"].fill(reader.language, sentence=sentence.to(reader.language))
        return self._frame(reader, "message", Sentence("Ask").to(reader.language), "/", body)

    def pin(self, reader: Reader, back: str, digits: str = "", note: Sentence | None = None) -> Page:
        """The page that asks for the PIN. `digits`: those of it that have been entered; `back`: the page to go on
        to; `note`: why the PIN that was sent did not do.
        """
        language = reader.language
        body = self._templates["pin"].fill(
            language, back=back, digits=digits, note=note.to(language) if note else ""
        )
        return self._frame(reader, "pin", Sentence("PIN").to(language), "/", body, scripts=("page", "pin"))

    def addresses(self, reader: Reader, addresses: Sequence[str], port: int, mdns: Snapshot) -> Page:
        """What to type into a Kindle: `addresses` first, which work in all of them, the name last."""
        language = reader.language
        named = [mdns.name] if mdns.state is State.UP else []
        urls = [escape(web_address(each, port)) for each in (*addresses, *named)]
        shown = Markup("\n".join(f'<a href="{url}">{url}</a>' for url in urls))
        state = " ".join(each.to(language) for each in (MDNS_STATES[mdns.state], mdns.reason) if each)
        body = self._templates["addresses"].fill(language, addresses=shown, state=state)
        return self._frame(reader, "listing", Sentence("Addresses").to(language), "/addresses", body)

    def check(self, reader: Reader, now: float) -> Page:
        """The page that tests the browser which opens it. `now`: the appliance's clock (Unix time)."""
        language = reader.language
        zone = datetime.fromtimestamp(now).astimezone().utcoffset() or timedelta()
        body = self._templates["check"].fill(language, now=int(now * 1000), zone=zone // timedelta(minutes=1))
        title = Sentence("This browser").to(language)
        return self._frame(reader, "check", title, "/check", body, scripts=("page", "check"))

    def reports(self, reader: Reader, reports: Sequence[Report], now: float) -> Page:
        """What browsers have said of themselves, newest first; all of it is shown as text."""
        language = reader.language
        shown = Markup("".join(self._report(report, language, now) for report in reports))
        if not reports:
            shown = _message(Sentence("No browser has been checked yet."), language)
        body = self._templates["reports"].fill(language, reports=shown)
        return self._frame(reader, "check", Sentence("Checked browsers").to(language), "/check/reports", body)

    def _report(self, report: Report, language: str, now: float) -> str:
        said = {key: _in_words(value, language) for key, value in report.values.items()}
        figures = {name: said.pop(name, "") for name in _FIGURES}
        more = "".join(f"<tr><th>{escape(key)}</th><td>{escape(said[key])}</td></tr>\n" for key in said)
        moment = when(report.received, now).to(language)
        return self._templates["report"].fill(language, when=moment, more=Markup(more), **figures)

    def _frame(
        self,
        reader: Reader,
        kind: str,
        title: str,
        address: str,
        body: Markup,
        head: Markup = _NOTHING,
        page: Mapping[str, Any] | None = None,
        scripts: Sequence[str] = ("page",),
    ) -> Page:
        language, look = reader.language, reader.look
        demo = _NOTHING
        if self._is_demo:
            sentence = Sentence("Demo: these answers are examples, the appliance has no Gemini key yet.")
            demo = Markup(f'<div class="demo">{escape(sentence.to(language))}</div>\n')
        say = {name: sentence.to(language) for name, sentence in SCRIPT_SENTENCES.items()}
        script = self._templates["script"].fill(
            language, scripts=Markup("\n".join(self._scripts[name] for name in scripts))
        )
        html = self._templates["frame"].fill(
            language,
            language=language,
            look=f"size-{look.size}{' bold' if look.is_bold else ''}",
            title=title,
            head=head,
            style=self._style,
            kind=kind,
            demo=demo,
            body=body,
            address=address,
            smaller=str(look.sized(-1)),
            larger=str(look.sized(1)),
            weight=str(Look(look.size, not look.is_bold)),
            weigh=say["regular" if look.is_bold else "bold"],
            page=_json({**(page or {}), "say": say}),
            script=script,
        )
        return Page(html, _policy(script, self._style))

    def _steps(self, language: str, turn: Turn, turns: int) -> Markup:
        """The way to the question before this one and to the one after it."""
        place = Sentence("%(number)d of %(count)d", number=turn.number, count=turns).to(language)
        back = f'<a href="/chats/{turn.chat}/{turn.number - 1}">&#8249;</a>' if turn.number > 1 else ""
        on = f'<a href="/chats/{turn.chat}/{turn.number + 1}">&#8250;</a>' if turn.number < turns else ""
        return Markup(
            f'<td class="step">{back}</td><td class="place">{escape(place)}</td><td class="step">{on}</td>\n'
        )

    def _again_form(
        self, language: str, turn: Turn, form: str, ending: Ending | None, has_text: bool, is_last: bool
    ) -> Markup:
        """The form that goes on with an answer that lacks its end, or asks for it anew. While nobody knows how the
        answer ends, it has all its buttons, and the style sheet shows those that fit.
        """
        finish = ending.finish if ending else None
        buttons = []
        if finish is None or (finish in (Finish.INTERRUPTED, Finish.LENGTH) and has_text):
            go_on = GO_ON if is_last or not turn.answer else _go_on_from(turn.answer)
            buttons.append(("go-on", go_on.to(language), Sentence("Go on")))
        if finish in (None, Finish.INTERRUPTED):
            buttons.append(("retry", turn.question, Sentence("Try again")))
        if finish in (None, Finish.FAILED):
            buttons.append(("anew", turn.question, Sentence("Ask again")))
        if not buttons:
            return _NOTHING
        shown = " ".join(
            f'<button class="{kind}" name="question" value="{escape(sent)}">{escape(label.to(language))}</button>'
            for kind, sent, label in buttons
        )
        return self._templates["again"].fill(language, chat=turn.chat, form=form, buttons=Markup(shown))

    def _follow_up_form(self, language: str, turn: Turn, form: str) -> Markup:
        """Follow-ups that are sent by one tap, two in a row."""
        cells = [
            f'<td><input type="submit" name="question" value="{escape(each)}"></td>'
            for each in _said(self._follow_ups, FOLLOW_UPS, language)
        ]
        if not cells:
            return _NOTHING
        rows = "".join(f"<tr>{''.join(cells[i : i + 2])}</tr>" for i in range(0, len(cells), 2))
        return self._templates["follow_ups"].fill(language, chat=turn.chat, form=form, rows=Markup(rows))

    def _list(self, reader: Reader, chats: Sequence[ChatSummary], now: float, can_delete: bool = False) -> Markup:
        rows = []
        delete = escape(Sentence("Delete").to(reader.language))
        for chat in chats:
            if chat.writing:
                state = Sentence("writing")
            else:
                state = Sentence("ready") if chat.newest in reader.unread else when(chat.asked, now)
            count = _questions(chat.questions).to(reader.language)
            row = (
                f'<a href="/chats/{chat.id}/{chat.questions}"{_direction(chat.title)}>{escape(_short(chat.title))}'
                f"<small>{escape(state.to(reader.language))} &#183; {escape(count)}</small></a>"
            )
            if can_delete:
                link = f'<td class="delete"><a href="/chats/{chat.id}/delete">{delete}</a></td>'
                row = f"<table><tr><td>{row}</td>{link}</tr></table>"
            rows.append(row)
        return Markup(f'<div class="column"><div class="list sized">{"".join(rows)}</div></div>')


def _go_on_from(answer: str) -> Sentence:
    """The question that is sent by "Go on" where more has been asked since: it has to say which answer is meant."""
    end = " ".join(answer[-_LAST_WORDS_CHARACTERS:].split())
    return Sentence("Please go on exactly where your earlier answer broke off, after “… %(end)s”.", end=end)


def _questions(count: int) -> Sentence:
    return Sentence("%(count)d question", plural="%(count)d questions", count=count)


def when(moment: float, now: float) -> Sentence:
    """A moment as the people of the house say it, in the time zone of the appliance. Both are Unix times."""
    then, today = datetime.fromtimestamp(moment), datetime.fromtimestamp(now)
    if then.date() == today.date():
        return Sentence("today, %(time)s", time=then.strftime("%H:%M"))
    if then.date() == (today - timedelta(days=1)).date():
        return Sentence("yesterday, %(time)s", time=then.strftime("%H:%M"))
    return Sentence("on %(date)s", date=then.date().isoformat())


def _without_comments(source: str) -> Markup:
    """Our scripts and style without what only people read: a page is to fit the first flight of a connection. A
    comment stands in front of a line, or two spaces behind it.
    """
    return Markup(re.sub(r"/\*.*?\*/|(?:^|(?<=  ))//[^\n]*|^ +| +$", "", source, flags=re.DOTALL | re.MULTILINE))


def _policy(script: str, style: str) -> str:
    """Engines that know hashes pass over 'unsafe-inline' beside them; older ones (PhantomJS 2.1.1) would run
    nothing without it. A style that a script sets on an element is no attribute, and allowed.
    """
    return (
        f"default-src 'none'; script-src 'unsafe-inline' {_hash(script)}; style-src 'unsafe-inline' {_hash(style)};"
        " connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _said(chosen: Sequence[str] | None, built_in: Sequence[Sentence], language: str) -> list[str]:
    return [sentence.to(language) for sentence in built_in] if chosen is None else list(chosen)


def _message(sentence: Sentence, language: str) -> Markup:
    return Markup(f'<div class="column"><p class="saying sized">{escape(sentence.to(language))}</p></div>')


def _direction(text: str) -> Markup:
    """The attributes of an element that holds what somebody typed."""
    language = east_asian_language(text)
    return Markup(' dir="rtl"' * bool(is_right_to_left(text)) + (f' lang="{language}"' if language else ""))


def _in_words(value: Any, language: str) -> str:
    """A value of a report as text."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_in_words(each, language)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_in_words(each, language) for each in value) or "-"
    if isinstance(value, bool):
        return (Sentence("yes") if value else Sentence("no")).to(language)
    return Sentence("not tested").to(language) if value is None else str(value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TITLE_CHARACTERS else text[: _TITLE_CHARACTERS - 1].rstrip() + "…"


def _json(value: Any) -> Markup:
    """JSON that may stand in a script element (HTML standard, 4.12.1.3: no "</" and no "<!--")."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))
