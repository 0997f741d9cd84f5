"""Paragraphs that are headings, because all their words are bold: models write many so. No I/O.

What has come of a growing paragraph may be no more than its first words. So such a paragraph waits until it has
ended, or has other words: a heading has more space above it, and what has been drawn stays in its place.
"""

from __future__ import annotations

import re
from html import unescape
from unicodedata import east_asian_width

_COLUMNS = 100
"""A heading has at most so many columns, two for a wide character. What is longer is a paragraph in bold type."""

_MOST_BYTES = 4000  # of its HTML: what is longer is not looked at

_BOLD = re.compile("<strong>.*?</strong>", re.DOTALL)
_TAG = re.compile("<[^>]*>")
_VERSE = ' class="verse"'
_HEADING = re.compile('<p[^>]* class="heading">')


def as_heading(paragraph: str) -> str:
    """The HTML of a paragraph, with the class "heading" if it is one."""
    opening, _, content = paragraph.partition(">")
    if len(content) > _MOST_BYTES or "<strong>" not in content or ' class="on"' in opening:
        return paragraph
    text, besides = (unescape(_TAG.sub("", each)).strip() for each in (content, _BOLD.sub("", content)))
    if any(map(str.isalnum, besides)) or not any(map(str.isalnum, text)):
        return paragraph
    if sum(1 + (east_asian_width(character) in "WF") for character in text) > _COLUMNS:
        return paragraph
    return f'{opening.removesuffix(_VERSE)} class="heading">{content}'


def is_heading(block: str) -> bool:
    """Whether the HTML of a block is that of such a paragraph."""
    return _HEADING.match(block) is not None
