"""What all pages share: the frame, its styles and scripts, and the sentences that scripts say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..sentences import Sentence
from .reader import Reader
from .templates import Page, Templates

STYLES = {
    "reading.html": ("page", "reading"),
    "check.html": ("page", "checking"),
    "reports.html": ("page", "checking"),
    "pin.html": ("page", "asking", "checking"),
    "shelf.html": ("page", "asking", "books"),
    "book.html": ("page", "asking", "books"),
    "place.html": ("page", "asking", "books"),
    "finds.html": ("page", "asking", "books"),
}
"""The styles of static/ for a page, in their order. All others have those of `_USUAL_STYLES`."""
_USUAL_STYLES = ("page", "asking")

FIRST_SCRIPTS = ("page", "hyphens")
"""The scripts of static/ for all pages, in their order."""

SCRIPTS = {
    "asking": ("sending", "drafts", "sizes"),
    "reading": ("sending", "tables", "breaks", "pages", "place", "taps", "keys", "contents"),
    "writing": ("sending", "tables", "breaks", "pages", "place", "taps", "keys", "contents", "drawing", "live"),
    "waiting": ("sending", "tables", "breaks", "pages", "place", "taps", "keys", "contents", "waiting"),
    "shelf": ("adding",),
    "place": ("per_cent",),
}
"""The scripts of static/ for a kind of page, in their order, after those of all pages."""

SCRIPT_SENTENCES = {
    "page": Sentence("{page} of {pages}"),
    "stopping": Sentence("Stopping ..."),
    "trying": Sentence("Connection lost. The page keeps trying."),
    "lost": Sentence("Connection lost. What has arrived stays here."),
    "zoomed": Sentence("Tap twice quickly to zoom out again."),
    "sending": Sentence("Sending ..."),
    "notSent": Sentence("Not sent. Your question is still here."),
    "bold": Sentence("Bold"),
    "regular": Sentence("Regular"),
}
"""What the scripts in static/ say by themselves."""


class Layout:
    """Makes pages of the templates in static/. `is_demo`: answers are examples, and every page says so."""

    def __init__(self, is_demo: bool) -> None:
        self._is_demo = is_demo
        self._templates = Templates()

    def page(
        self,
        reader: Reader,
        template: str,
        *,
        scripts: Sequence[str] = (),
        given: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> Page:
        """A page for this reader. `scripts`: those of static/ that it has besides those of all pages; `given`: what
        they find as JSON; `values`: what the template shows.
        """
        say = {name: sentence.to(reader.language) for name, sentence in SCRIPT_SENTENCES.items()}
        return self._templates.page(
            template,
            reader.language,
            STYLES.get(template, _USUAL_STYLES),
            (*FIRST_SCRIPTS, *scripts),
            {**(given or {}), "say": say},
            look=reader.look,
            is_demo=self._is_demo,
            **values,
        )
