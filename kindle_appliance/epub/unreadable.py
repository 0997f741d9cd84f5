"""Why a file cannot be put on the shelf, each reason with its sentence.

The reasons are kept apart by what a reader can do: take another file, the same one without its lock, or a whole
copy of it.
"""

from __future__ import annotations

from ..errors import ReaderError
from ..sentences import Sentence

_STATUS = 422

MOST_CHARACTERS = 20_000_000
"""Of a book, as `TOO_LONG` says. Longer ones are not known: the Bible has 4.5 million, the longest novels ten."""

OTHER = Sentence("This is not an EPUB file. The appliance can read only books in this format.")
KINDLE = Sentence("This is a Kindle's own book (.azw, .kfx or .mobi). The appliance can read only EPUB files.")
PDF = Sentence("This is a PDF file. The appliance can read only EPUB files.")
LOCKED = Sentence("This book is locked by its seller (DRM). The appliance can read only books without a lock.")
DAMAGED = Sentence("This file is damaged or not whole. Please copy or download it again.")
NO_SPINE = Sentence("This EPUB file does not list its parts in reading order. The appliance cannot read it.")
NO_TEXT = Sentence("This book has no text, only pictures or empty pages. The appliance can read only text.")
GROWS = Sentence("This file would unpack to far more than a book, so it was not read.")
LEAVES = Sentence("This file points to places outside of itself, so the appliance did not read it.")
MANY_PARTS = Sentence("This file has more than %(count)d parts, so the appliance did not read it.")
TOO_LONG = Sentence("This book is too long. The appliance can read at most 20 million characters.")


class Unreadable(ReaderError):
    """A file that is no book, or none that can be read. Nothing of it is kept."""

    def __init__(self, sentence: Sentence, detail: str = "") -> None:
        super().__init__(sentence, _STATUS, detail)
