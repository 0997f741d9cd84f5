"""Which answer is gone on with: the question that "Go on" sends, and what was open where the answer broke off."""

from __future__ import annotations

import re
from itertools import islice

from ..ending import Finish
from ..sentences import LANGUAGES, Sentence
from ..storage.chats import Chats
from ..storage.rows import Turn
from ..typesetting.resumption import Opened, opened_at_end

GO_ON = Sentence("Please go on exactly where your answer broke off.")
"""The question that is sent by "Go on", where that is the last answer of its chat."""

_LAST_WORDS_CHARACTERS = 60

_MARKS = re.compile(r"[*`|]+|^[#>\s]+", re.MULTILINE)
"""Signs of Markdown that are left out of the last words: a reader sees the question."""

_MOST_TURNS = 50
"""So many earlier turns are looked at."""


def go_on_from(answer: str) -> Sentence:
    """The question that is sent by "Go on" where more has been asked since: it has to say which answer is meant."""
    end = " ".join(_MARKS.sub(" ", answer[-_LAST_WORDS_CHARACTERS:]).split())
    return Sentence("Please go on exactly where your earlier answer broke off, after “… %(end)s”.", end=end)


def opened_before(chats: Chats, turn: Turn) -> Opened | None:
    """The fence or table that the answer of a turn goes on inside, if its question asks for that. What cannot be
    read of the chat goes on inside nothing.
    """
    if not _begins_as_asked(turn.question):
        return None
    chain: list[Turn] = []
    for earlier in islice(chats.turns_before(turn), _MOST_TURNS):
        if not _asks_to_go_on(chain[-1] if chain else turn, earlier):
            continue
        if earlier.ending is None or earlier.ending.finish not in (
            Finish.LENGTH,
            Finish.INTERRUPTED,
            Finish.STOPPED,
        ):
            break
        chain.append(earlier)
        if not _begins_as_asked(earlier.question):
            break
    opened = None
    for earlier in reversed(chain):
        opened = opened_at_end(earlier.answer, opened)
    return opened


def _begins_as_asked(question: str) -> bool:
    beginnings = [go_on_from("").to(language).partition("…")[0] for language in LANGUAGES]
    return _goes_on_at_the_end(question) or question.startswith(tuple(beginnings))


def _goes_on_at_the_end(question: str) -> bool:
    return any(question == GO_ON.to(language) for language in LANGUAGES)


def _asks_to_go_on(turn: Turn, earlier: Turn) -> bool:
    """Whether a turn goes on with the answer of an earlier one."""
    if _goes_on_at_the_end(turn.question):
        return earlier.number < turn.number
    return any(turn.question == go_on_from(earlier.answer).to(language) for language in LANGUAGES)
