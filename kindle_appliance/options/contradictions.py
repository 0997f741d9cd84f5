"""Values that are allowed each by itself, but not together, or not in this house."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..upstream.dialect import OptionError
from .dialects import check_for_all
from .server_address import is_private, told_of_plain_http


class Contradiction(Exception):
    """Why values must not stand together, with their origins. `options`: their names."""

    def __init__(self, text: str, *options: str) -> None:
        super().__init__(text)
        self.options = options


def check_together(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Raise `Contradiction` if there is one. `values` and `origins`: of all options, by their names."""
    try:
        check_for_all(values)
    except OptionError as error:
        named = ", ".join(f"{name} from {origins[name]}" for name in error.options)
        text = f"{' and '.join(error.options)} are both set: {error} They come from: {named}."
        raise Contradiction(text, *error.options) from None
    url = urlsplit(values["gemini_url"])
    if url.scheme == "http" and not is_private(url.hostname or ""):
        raise Contradiction(
            f"gemini_url, from {origins['gemini_url']}, is not allowed: {told_of_plain_http(url.hostname or '')}"
            " Take https://.",
            "gemini_url",
        )
    device, house = values["device_questions_per_day"], values["questions_per_day"]
    if device is not None and device > house:
        raise Contradiction(
            f"device_questions_per_day = {device}, from {origins['device_questions_per_day']}, is more than the"
            f" house may ask. Allowed is at most questions_per_day = {house}, from {origins['questions_per_day']}.",
            "device_questions_per_day",
        )
