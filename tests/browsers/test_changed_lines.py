"""No line changes on the page of an answer that is being written, once it has another line below it: by pixels, for
all recorded answers and for a text of each kind. `make soak` watches them in steps of 20 characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Soak

from kindle_appliance.typesetting.typesetter import Typesetter

from .changed_lines import TALL, TEXTS, Change, Count, Exemption, Lines, watch
from .engines import CHROMIUM, ENGINES, Engine
from .fed_page import FedPage, fed_pages

PHANTOMJS = next(engine for engine in ENGINES if engine.name == "phantomjs-2.1.1")

TABLE = "a table when it ends"
NEVER_CLOSED = "emphasis that is never closed"

EXEMPTIONS = (
    Exemption("arabic-hebrew", "الملوحة", TABLE),
    Exemption("chinese", "盐度", TABLE),
    Exemption("emphasis", "Unfriggingbelievable", NEVER_CLOSED),
    Exemption("formulas", "Circle", TABLE),
    Exemption("html", "70 °C", TABLE),
    Exemption("tables", "Pages", TABLE),
    Exemption("tables", "Coffee", TABLE),
    Exemption("tables", "Moons", TABLE),
    Exemption("wide-tables", "Address", TABLE),
    Exemption("wide-tables", "Command that does it", TABLE),
)
"""All that may change, so that nothing new hides among it."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fed_pages(tmp_path_factory.mktemp("fed")) as url:
        yield url


@pytest.fixture
def pictures(engine: Engine) -> Path:
    """The folder for pictures of changes, for human eyes; git ignores it."""
    folder = ROOT / "build" / "changed-lines" / engine.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


IN_BOTH = pytest.mark.parametrize("engine", [PHANTOMJS, CHROMIUM], indirect=True, ids=lambda engine: engine.name)


@IN_BOTH
def test_a_line_of_each_kind_of_text_stays_as_it_was_drawn_once_it_has_another_below_it(
    engine: Engine, url: str, pictures: Path, soak: Soak
) -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(TEXTS.glob("*.md"))}
    assert len(texts) >= 20
    count = watched(engine, url, texts, soak(160, full=20), pictures)
    soak.tell(f"{engine.name}, kinds of text: {count}")
    changes = [change for change in count.changes if not change.is_exempt(EXEMPTIONS)]
    assert not changes, told(changes, pictures)
    assert count.lines > 1000
    if soak.is_full:
        needed = [each for each in EXEMPTIONS if any(change.is_exempt([each]) for change in count.changes)]
        assert needed == list(EXEMPTIONS)


@IN_BOTH
def test_a_line_of_a_recorded_answer_stays_as_it_was_drawn_once_it_has_another_below_it(
    engine: Engine, url: str, pictures: Path, soak: Soak, answers: list[str]
) -> None:
    texts = {f"recorded-{number}": answer for number, answer in enumerate(dict.fromkeys(answers))}
    count = watched(engine, url, texts, soak(500, full=20), pictures)
    soak.tell(f"{engine.name}, recorded answers: {count}")
    assert not count.changes, told(count.changes, pictures)
    assert count.lines > 200


def watched(engine: Engine, url: str, texts: dict[str, str], step: int, pictures: Path) -> Count:
    count = Count()
    with engine.start(*TALL) as browser:
        for name, text in texts.items():
            count += watch(FedPage(browser, url), name, text, step, pictures)
        assert browser.errors() == []
    return count


def told(changes: list[Change], pictures: Path) -> str:
    return "\n".join(map(str, changes)) + f"\nThe pictures are in {pictures}."


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(("<p>", '<p style="text-indent: 0">'), id="no indents"),
        pytest.param(("<strong>", "<strong>*"), id="markers"),
        pytest.param(("</p>", "</p><p></p><p>...</p>"), id="a line too many"),
    ],
)
def test_a_wrong_tail_is_seen(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, str]
) -> None:
    tail = Typesetter.tail
    monkeypatch.setattr(Typesetter, "tail", lambda self: tail(self).replace(*wrong))
    text = "One paragraph.\n\n" + "A second one with **some words** in it, for a few lines of the page. " * 5
    with PHANTOMJS.start(*TALL) as browser:
        count = watch(FedPage(browser, url), "wrong", text, 40, tmp_path)
    assert count.changes and count.changes[0].block.startswith("A second one")
    assert len(list(tmp_path.glob("wrong-*-before.png"))) == len({change.at for change in count.changes})


def test_a_line_may_change_only_while_it_is_the_last() -> None:
    lines = Lines()
    assert lines.draw(0, ["question", "One para"]) == []
    assert lines.draw(1, ["One paragraph that", "goes"]) == []
    assert lines.draw(1, ["One paragraph that", "goes on", "and on"]) == []
    assert lines.draw(1, ["One paragraph that", "goes on", "and on and", "on"]) == []
    assert lines.draw(1, ["ONE paragraph that", "goes ON", "and on and", "on"]) == [1, 2]
    assert lines.draw(1, ["ONE paragraph that", "goes ON", "and on and", "on"]) == []
    assert lines.draw(2, ["goes ON"]) == [3], "it is gone"
    assert lines.draw(2, ["goes on"]) == [2]
    assert lines.draw(2, ["goes ON"]) == [], "it was the last"
    assert lines.draw(0, ["question", "One paragraph that", "goes ON"]) == [1]
    assert lines.compared == 13
