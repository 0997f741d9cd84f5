"""The paths of the routes: what a number in one looks like, and which pages a form may lead back to."""

from __future__ import annotations

import re

from ..storage.rows import Turn

NUMBER = "[0-9]{1,15}"  # what SQLite can hold
BOOK = "[0-9a-f]{64}"
"""The name of a book: the SHA-256 of its file."""
_FOUND = rf"\?q=[\w%+.~-]{{1,1800}}(&before={NUMBER})?"  # 200 characters, each of up to 9 once quoted
_CHATS = rf"chats(/{NUMBER}(/({NUMBER}(/why)?|edit|delete))?|\?(before|after)={NUMBER}|{_FOUND})?"
_PLACE = rf"place(\?(at|from|finished|names)={NUMBER}(&(at|from|finished|names)={NUMBER}){{0,3}})?"
_BOOKS = rf"books(/{BOOK}(/{_PLACE})?|\?before={BOOK}|\?q=[\w%+.~-]{{1,1800}}(&before={BOOK})?)?"
_OWN_PAGE = rf"/(\?chat={NUMBER}|{_CHATS}|{_BOOKS}|check(/reports)?|addresses|about)?"


def is_number(text: str) -> bool:
    """Whether this can be the id of something stored."""
    return re.fullmatch(NUMBER, text, re.ASCII) is not None


def is_own_page(path: str) -> bool:
    """Whether this is a page of ours, with nothing behind it that a stranger could have put there."""
    return re.fullmatch(_OWN_PAGE, path, re.ASCII) is not None


def turn_path(turn: Turn) -> str:
    """The page of a turn."""
    return f"/chats/{turn.chat}/{turn.number}"
