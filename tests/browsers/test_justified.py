"""Justified text: only where words are divided or Han characters spread, and without holes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from conftest import Soak
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.text.languages import language_of

from .browser import Browser
from .engines import ENGINES, Engine
from .justified import WIDE, Line, lines_of
from .steps import answered, ask, begin, shows

DIVIDE = ("phantomjs-2.1.1", "chromium-75", "chromium")
"""The engines that break lines at soft hyphens."""
SPREAD = ("chromium-75", "chromium")
"""The engines that justify lines of Han characters."""

PROSE = (
    "By the fourth century the empire had more frontier than it could garrison, and the frontier had more enemies"
    " than before. The reforms of Diocletian and Constantine had strengthened the bureaucracy, but the taxation"
    " needed to sustain it impoverished the very communities that had provided soldiers and citizens."
)
"""Of the drawings to reach: hyphens by hand left a line of word spaces of five times the usual one."""

CHINESE = (
    "海水之所以咸，是因为河流不断地把岩石中溶解的矿物质带入大海。水在太阳的照射下蒸发，而盐分却留了下来；经过亿万年的"
    "积累，海洋就变成了今天的样子。不同海域的盐度也不一样：红海的盐度约为 4.1%，而波罗的海只有 1% 左右。"
)
JAPANESE = (
    "海の水が塩辛いのは、川が岩石から溶け出した鉱物を絶えず海に運び込んでいるからです。太陽の熱で水は蒸発しますが、"
    "塩分は海に残ります。これが何億年も続いて、今の海ができました。"
)
FLUSH = 2.5
"""So far from the edge, in px, a justified line may end: letters have white beside them."""
HYPHEN = 9.0


def full(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if not line.is_last]


def is_flush(line: Line) -> bool:
    return abs(line.gap) <= (HYPHEN if line.ends_in_word else FLUSH)


def read(browser: Browser, house: House, gemini: FakeGemini, text: str, question: str = "Why did it fall?") -> None:
    """Read an answer in a browser that has been here before."""
    house.hyphenate()
    browser.open(house.url + "/")
    browser.open(house.url + answered(house, gemini, text, question))
    assert browser.errors() == []


def test_lines_end_at_soft_hyphens_and_at_the_edge_where_the_engine_divides_words(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, f"{PROSE}\n\n> {PROSE}\n\n- {PROSE}\n\n{PROSE}")
    assert ("hyphens=1" in browser.script("return document.cookie")) == (engine.name in DIVIDE)
    html = browser.script("return document.getElementById('text').innerHTML.replace(/&shy;/g, '\\u00ad')")
    lines = lines_of(browser)
    in_list = [line for line in lines if line.home == "LI"]
    prose = full([line for line in lines if line.home == "P"])
    assert len(in_list) >= 5 and len(prose) >= 15
    if engine.name in DIVIDE:
        assert "bureau\u00adcracy" in html
        assert all(map(is_flush, prose)), [line for line in prose if not is_flush(line)]
        assert any(line.ends_in_word for line in prose)
    else:
        assert "\u00ad" not in html and not any(line.ends_in_word for line in lines)
        assert sum(map(is_flush, prose)) < len(prose) / 2
    assert sum(map(is_flush, full(in_list))) < len(full(in_list)) / 2, "lists are ragged"


def test_what_is_no_prose_is_ragged(browser: Browser, engine: Engine, gemini: FakeGemini, house: House) -> None:
    verse = "The words of a poem stand\n" + f"{PROSE}\n"
    read(browser, house, gemini, f"The first paragraph.\n\n{verse}\n- {PROSE}\n\nالملوحة {'كلمة أخرى ' * 40}\n")
    aligned = browser.script(
        "var all = document.getElementById('text').getElementsByTagName('*'), found = [], i;"
        "for (i = 0; i < all.length; i += 1) {"
        "  found.push([all[i].nodeName, all[i].className, all[i].dir, getComputedStyle(all[i], null).textAlign]); }"
        "return found;"
    )
    justified = [each for each in aligned if each[3] == "justify"]
    assert [name for name, kind, direction, _ in justified if kind == "verse" or direction or name == "LI"] == []
    assert len(justified) == (1 if engine.name in DIVIDE else 0)
    assert ["P", "verse", ""] in [each[:3] for each in aligned]


@pytest.mark.parametrize(("size", "is_justified"), [(62, True), (48, True), (40, False), (13, False)])
@pytest.mark.parametrize("engine", [each for each in ENGINES if each.name == "phantomjs-2.1.1"], indirect=True)
def test_larger_text_is_ragged_but_has_its_hyphens(
    browser: Browser, gemini: FakeGemini, house: House, size: int, is_justified: bool
) -> None:
    browser.open(house.url + "/")
    browser.script(f"document.cookie = 'look={size}; path=/'")
    read(browser, house, gemini, f"{PROSE}\n\nThe end. {PROSE}")
    lines = full(lines_of(browser))
    assert any(line.ends_in_word for line in lines)
    assert all(map(is_flush, lines)) == is_justified


@pytest.mark.parametrize("text", [CHINESE, JAPANESE], ids=["Chinese", "Japanese"])
def test_lines_of_han_characters_are_flush_where_the_engine_spreads_them(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, text: str
) -> None:
    read(browser, house, gemini, f"{text}\n\n- {text}\n\n{text}", "为什么？")
    lines = full(lines_of(browser))
    assert len(lines) >= 8
    if engine.name in SPREAD:
        assert all(map(is_flush, lines)), [line for line in lines if not is_flush(line)]
    else:  # it would spread only the spaces around a number
        assert max(line.widest for line in lines) <= 1.6 and not all(map(is_flush, lines))


@pytest.mark.parametrize(
    "engine", [each for each in ENGINES if each.name in ("phantomjs-2.1.1", "chromium-75")], indirect=True
)
def test_few_lines_of_the_recorded_answers_have_wide_word_spaces(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, answers: list[str], soak: Soak
) -> None:
    texts = sorted(filter(is_english, dict.fromkeys(answers)), key=len, reverse=True)[: soak(4, full=99)]
    lines: list[Line] = []
    for text in texts:
        read(browser, house, gemini, text)
        lines += full(lines_of(browser))
    wide = [line for line in lines if line.widest > WIDE]
    prose = [line for line in lines if is_flush(line) and line.home == "P"]
    assert len(prose) > 15
    soak.tell(f"{engine.name}: {len(wide)} of {len(lines)} lines have word spaces over {WIDE} times the usual,")
    soak.tell("    " + "; ".join(f"{line.words} ({line.widest:.1f})" for line in wide))
    assert len(wide) <= 0.03 * len(lines), wide


def is_english(text: str) -> bool:
    return len(text) > 250 and language_of(text) == "en"


def test_the_paragraph_of_the_drawing_has_no_hole(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, PROSE)
    assert max(line.widest for line in full(lines_of(browser))) <= 3


def test_text_that_comes_later_is_divided_as_the_page_is(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    house.hyphenate()
    browser.open(house.url + "/")
    ask(browser, house.url, "Why did the empire fall?")
    call = begin(gemini)
    call.text(PROSE + "\n\n" + PROSE)
    browser.wait_until(shows("soldiers and") if engine.name not in DIVIDE else shows("sol\u00addiers and"))
    lines = full(lines_of(browser))
    assert all(map(is_flush, lines)) == (engine.name in DIVIDE)
    before = [line.words for line in lines]
    call.finish(" The end.")
    browser.wait_until("document.body.className.indexOf('ended') >= 0")
    assert [line.words for line in full(lines_of(browser))][: len(before)] == before
    browser.reload()
    assert [line.words for line in full(lines_of(browser))][: len(before)] == before
    assert browser.errors() == []


def test_an_engine_that_no_longer_divides_words_says_so(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    wrong = 0 if engine.name in DIVIDE else 1
    browser.open(house.url + "/")
    browser.script(f"document.cookie = 'hyphens={wrong}; path=/'")
    browser.open(house.url + "/chats")
    assert f"hyphens={1 - wrong}" in browser.script("return document.cookie")


def test_without_script_text_is_ragged(gemini: FakeGemini, house: House, scriptless_browser: Browser) -> None:
    read(scriptless_browser, house, gemini, f"{PROSE}\n\n{CHINESE}")
    assert scriptless_browser.script("return document.getElementById('text').innerHTML.indexOf('\\u00ad')") == -1
    assert not all(map(is_flush, full(lines_of(scriptless_browser))))
