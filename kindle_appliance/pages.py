"""A chat, a turn, a list as an HTML page, from the templates in static/. Pure, but for reading those once.

A page is one response: style and script are inlined, nothing else is loaded. In a template `$name` is a value,
escaped unless it is `Markup`, and `${Some words}` is a sentence of the catalogue.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from .answers import News
from .chats import ChatSummary, Turn
from .sentences import Sentence
from .writing_system import is_right_to_left, may_slant

_PACKAGE = Path(__file__).parent
STATIC = _PACKAGE / "static" if (_PACKAGE / "static").is_dir() else _PACKAGE.parent / "static"
"""Beside the package in a checkout, inside it once installed."""

SCRIPT_SENTENCES = {
    "writing": Sentence("Gemini is writing ..."),
    "lost": Sentence("Connection lost. What has arrived stays here."),
    "goOn": Sentence("Go on reading"),
}
"""What static/page.js says by itself."""

_TITLE_CHARACTERS = 90
_RELOAD_SECONDS = 5


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


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
    """All pages of the appliance. `is_demo`: answers are examples, and every page says so."""

    def __init__(self, is_demo: bool, folder: Path = STATIC) -> None:
        self._is_demo = is_demo
        self._templates = {path.stem: _Template(path.read_text(encoding="utf-8")) for path in folder.glob("*.html")}
        self._style = Markup((folder / "page.css").read_text(encoding="utf-8"))
        self._script = Markup((folder / "page.js").read_text(encoding="utf-8"))

    def asking(
        self,
        language: str,
        form: str,
        recent: Sequence[ChatSummary],
        now: float,
        *,
        question: str = "",
        chat: Turn | None = None,
        note: Sentence | None = None,
    ) -> str:
        """The page to ask on: a new question, or one more in the chat whose first turn is `chat`. `question` and
        `note` bring back what was typed and why it was not sent. `form` is the one-time id of this form.
        """
        about = _NOTHING
        if chat is not None:
            goes_on = escape(Sentence("Goes on with:").to(language))
            about = Markup(f"{goes_on} <b>{escape(_short(chat.question))}</b>")
        chats = _NOTHING
        if recent:
            heading = escape(Sentence("Go on with").to(language))
            chats = Markup(f'<h2 class="section">{heading}</h2>\n{self._list(language, recent, now)}')
        body = self._templates["asking"].fill(
            language,
            heading=Sentence("Ask more about this" if chat else "Ask").to(language),
            note=_note(note, language),
            question=question,
            form=form,
            chat=chat.chat if chat else "",
            about=about,
            recent=chats,
        )
        return self._frame(language, "asking", Sentence("Ask").to(language), body)

    def reading(self, language: str, turn: Turn, turns: int, news: News, form: str) -> str:
        """The page of one turn: its question and as much of its answer as has settled; a script follows the rest.
        `turns`: how many the chat has. `news`: the answer from its beginning on. `form`: the one-time id of the
        form that asks again.
        """
        blocks, ending = news.blocks, news.ending
        address = f"/chats/{turn.chat}/{turn.number}"
        state = ending.note.to(language) if ending and ending.note else ""
        script = _NOTHING
        head = _NOTHING
        if ending is None:
            state = SCRIPT_SENTENCES["writing"].to(language)
            script = self._templates["live"].fill(
                language,
                script=self._script,
                answer=_json(
                    {
                        "url": f"/answers/{turn.id}",
                        "upto": blocks[-1].upto if blocks else 0,
                        "say": {name: sentence.to(language) for name, sentence in SCRIPT_SENTENCES.items()},
                    }
                ),
            )
            head = Markup(f'<noscript><meta http-equiv="refresh" content="{_RELOAD_SECONDS}"></noscript>\n')
        place = Sentence("question %(number)d of %(count)d", number=turn.number, count=turns).to(language)
        body = self._templates["reading"].fill(
            language,
            place=place if turns > 1 else "",
            answer=turn.id,
            question=turn.question,
            direction=Markup(' dir="rtl"' if is_right_to_left(turn.question) else ""),
            slant="" if may_slant(turn.question) else " upright",
            blocks=Markup("\n".join(block.html for block in blocks)),
            state=state,
            address=address,
            chat=turn.chat,
            form=form,
            script=script,
        )
        kind = f"reading ended {ending.finish}" if ending else "reading writing"
        return self._frame(language, kind, _short(turn.question), body, head)

    def list(self, language: str, chats: Sequence[ChatSummary], now: float) -> str:
        """All chats, newest first."""
        if chats:
            shown = self._list(language, chats, now)
        else:
            shown = _note(Sentence("Nothing has been asked yet."), language)
        body = self._templates["list"].fill(language, chats=shown)
        return self._frame(language, "listing", Sentence("All chats").to(language), body)

    def message(self, language: str, sentence: Sentence) -> str:
        """A page that says one thing: an error, mostly."""
        body = self._templates["message"].fill(language, sentence=sentence.to(language))
        return self._frame(language, "message", Sentence("Ask").to(language), body)

    def _frame(self, language: str, kind: str, title: str, body: Markup, head: Markup = _NOTHING) -> str:
        demo = _NOTHING
        if self._is_demo:
            sentence = Sentence("Demo: these answers are examples, the appliance has no Gemini key yet.")
            demo = Markup(f'<div class="demo">{escape(sentence.to(language))}</div>\n')
        return self._templates["frame"].fill(
            language, language=language, title=title, head=head, style=self._style, kind=kind, demo=demo, body=body
        )

    def _list(self, language: str, chats: Sequence[ChatSummary], now: float) -> Markup:
        rows = []
        for chat in chats:
            state = Sentence("writing").to(language) if chat.writing else when(chat.asked, now).to(language)
            count = Sentence("%(count)d question", plural="%(count)d questions", count=chat.questions).to(language)
            rows.append(
                f'<a href="/chats/{chat.id}/{chat.questions}">{escape(_short(chat.title))}'
                f"<small>{escape(state)} &#183; {escape(count)}</small></a>"
            )
        return Markup(f'<div class="list">{"".join(rows)}</div>')


def when(moment: float, now: float) -> Sentence:
    """A moment as the people of the house say it, in the time zone of the appliance. Both are Unix times."""
    then, today = datetime.fromtimestamp(moment), datetime.fromtimestamp(now)
    if then.date() == today.date():
        return Sentence("today, %(time)s", time=then.strftime("%H:%M"))
    if then.date() == (today - timedelta(days=1)).date():
        return Sentence("yesterday, %(time)s", time=then.strftime("%H:%M"))
    return Sentence("on %(date)s", date=then.date().isoformat())


def _note(sentence: Sentence | None, language: str) -> Markup:
    return Markup(f'<p class="note">{escape(sentence.to(language))}</p>\n' if sentence else "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TITLE_CHARACTERS else text[: _TITLE_CHARACTERS - 1].rstrip() + "…"


def _json(value: Any) -> Markup:
    """JSON that may stand in a script element (HTML standard, 4.12.1.3: no "</" and no "<!--")."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))
