"""Templates are compiled when the appliance starts, and the values for scripts stay data."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kindle_appliance.sentences import Sentence
from kindle_appliance.web.look import USUAL_LOOK
from kindle_appliance.web.templates import STATIC, Page, Templates


def message(templates: Templates, **given: str) -> Page:
    return templates.page(
        "message.html",
        "en",
        ("page", "asking"),
        ("page",),
        given,
        look=USUAL_LOOK,
        is_demo=False,
        sentence=Sentence("There is no such page here."),
        is_of_books=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(STATIC, tmp_path / "static")


def test_no_file_is_read_after_the_start(folder: Path) -> None:
    templates = Templates(folder)
    shutil.rmtree(folder)
    assert message(templates) == message(Templates())


@pytest.mark.parametrize("mistake", ["% if x\n% end\n", "{{x y}}\n", "% else:\n% end\n"])
def test_a_mistake_in_a_template_stops_the_start_and_names_the_file(folder: Path, mistake: str) -> None:
    (folder / "list.html").write_text(mistake, encoding="utf-8")
    with pytest.raises(SyntaxError) as raised:
        Templates(folder)
    assert raised.value.filename == str(folder / "list.html")


@pytest.mark.parametrize(
    "hostile",
    [
        "</script><script>alert(1)</script>",
        "<!-- <script>",
        "{{x}} {{!x}}",
        "\n% import os\n",
        "\"'\\",
        "\u2028",
    ],
)
def test_what_a_script_is_given_is_json_that_cannot_leave_its_element(hostile: str) -> None:
    class Scripts(HTMLParser):
        texts: tuple[str, ...] = ()
        inside = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = tag == "script"
            self.texts += ("",) * self.inside

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

        def handle_data(self, data: str) -> None:
            if self.inside:
                self.texts = (*self.texts[:-1], self.texts[-1] + data)

    page = message(Templates(), value=hostile)
    scripts = Scripts()
    scripts.feed(page)
    given, script = scripts.texts
    assert json.loads(given) == {"value": hostile}
    assert not re.search("<[/!]", given), "HTML standard, 4.12.1.3"
    assert script == message(Templates()).partition("<script>")[2].partition("</script>")[0]
