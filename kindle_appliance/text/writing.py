"""Direction, language and italics of a text. Pure functions.

Old WebKit does not know `dir="auto"`, and no browser can tell whether 直 needs its Chinese or its Japanese glyph.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

_SHARE = 4
"""A text counts as East Asian if more than one letter in four is; fewer are a quoted word."""

_DECIDING_LETTERS = 16

_LATIN = re.compile("[A-Za-z]")
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_ONLY_TRADITIONAL = re.compile("[這個們來說為國會時對學於與後點開關過還沒]")
_ONLY_SIMPLIFIED = re.compile("[这个们来说为国会时对学于与后点开关过还没]")
_NEVER_SLANTS = re.compile(
    "[\u0590-\u1dff\u2e80-\uabff\uac00-\ud7ff\uf900-\ufdff\ufe70-\ufeff\U00020000-\U000323af]"
)


def beginning(text: str) -> str:
    """The text up to its sixteenth letter. Direction and language are decided by that much: it stands in the first
    line on a screen, so what has been drawn below it stays.
    """
    letters = (at for at, character in enumerate(text, 1) if character.isalpha())
    return text[: next(islice(letters, _DECIDING_LETTERS - 1, None), len(text))]


def is_right_to_left(text: str) -> bool | None:
    """Return the direction of the first letter that has one; None if none has.

    This is rule P2 of the Unicode Bidirectional Algorithm.
    """
    if text.isascii():
        return False if _LATIN.search(text) else None
    directions = (unicodedata.bidirectional(character) for character in text)
    strong = next((direction for direction in directions if direction in ("L", "R", "AL")), None)
    return None if strong is None else strong != "L"


def east_asian_language(text: str, previous: str | None = None) -> str | None:
    """Return the `lang` value that selects the right glyphs for a text; None where any font will do.

    `previous`: the language of the text before it, if that was East Asian. It decides for a text of Han characters
    only, which may be Japanese or Chinese.
    """
    if text.isascii():
        return None
    han, kana, hangul = (len(script.findall(text)) for script in (_HAN, _KANA, _HANGUL))
    if (han + kana + hangul) * _SHARE <= sum(map(str.isalpha, text)):
        return None
    if hangul > han + kana:
        return "ko"
    if kana * _SHARE > han:
        return "ja"
    traditional, simplified = len(_ONLY_TRADITIONAL.findall(text)), len(_ONLY_SIMPLIFIED.findall(text))
    if traditional == simplified:
        return previous or "zh-CN"
    return "zh-TW" if traditional > simplified else "zh-CN"


def may_slant(text: str) -> bool:
    """Whether a text can be set in italics. Not every script has them: slanted Han or Arabic looks distorted."""
    return not _NEVER_SLANTS.search(text)
