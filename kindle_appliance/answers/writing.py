"""What a text is written in: which way it runs, which glyphs it wants, whether it may slant. Pure.

Old WebKit has no `dir="auto"`, and no browser knows whether 直 is to look Chinese or Japanese.
"""

from __future__ import annotations

import re
import unicodedata

_SHARE = 4
"""A text is East Asian if one in so many of its letters is: less is a word that is quoted."""

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_ONLY_TRADITIONAL = re.compile("[這個們來說為國會時對學於與後點開關過還沒]")
_ONLY_SIMPLIFIED = re.compile("[这个们来说为国会时对学于与后点开关过还没]")
_NEVER_SLANTS = re.compile(
    "[\u0590-\u1dff\u2e80-\uabff\uac00-\ud7ff\uf900-\ufdff\ufe70-\ufeff\U00020000-\U000323af]"
)


def is_right_to_left(text: str) -> bool | None:
    """By the first letter that has a direction (Unicode Bidirectional Algorithm, rule P2), None if none has."""
    directions = (unicodedata.bidirectional(character) for character in text)
    strong = next((direction for direction in directions if direction in ("L", "R", "AL")), None)
    return None if strong is None else strong != "L"


def east_asian_language(text: str, before: str | None = None) -> str | None:
    """The language whose glyphs a text wants, as a value of `lang`; None where any font will do. Han alone does not
    tell Japanese from Chinese: it is in the language of the text `before` it, if that was East Asian.
    """
    han, kana, hangul = (len(script.findall(text)) for script in (_HAN, _KANA, _HANGUL))
    if (han + kana + hangul) * _SHARE <= sum(map(str.isalpha, text)):
        return None
    if hangul > han + kana:
        return "ko"
    if kana * _SHARE > han:
        return "ja"
    traditional, simplified = len(_ONLY_TRADITIONAL.findall(text)), len(_ONLY_SIMPLIFIED.findall(text))
    if traditional == simplified:
        return before or "zh-CN"
    return "zh-TW" if traditional > simplified else "zh-CN"


def may_slant(text: str) -> bool:
    """Italics are for alphabets that have them: slanted Han or Arabic is a distortion."""
    return not _NEVER_SLANTS.search(text)
