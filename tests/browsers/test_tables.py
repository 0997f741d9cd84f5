"""Tables of an answer, in each engine: which rows are stacked, how they look, and where a page may end."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .steps import alter_pages, answered, choose_look, lines_shown, page_number, read, turn

STACKED = (
    "var tables = document.querySelectorAll('#text table'), found = [], i;"
    "for (i = 0; i < tables.length; i += 1) { found.push(/stacked/.test(tables[i].className)); } return found;"
)
HEAD = "| Name | Note |\n|---|---|\n"


@pytest.mark.parametrize(
    ("rows", "stacked"),
    [
        pytest.param("| a<br>b<br>c<br>d | e |\n", [False], id="a first cell may be as high as it likes"),
        pytest.param("| a | b<br>c |\n", [False], id="two lines"),
        pytest.param("| a | b<br>c<br>d |\n", [True], id="three lines"),
        pytest.param("| a | b |\n" * 40 + "| a | b<br>c<br>d |\n", [True] * 3, id="three lines in a later piece"),
        pytest.param("| a | " + "some words " * 20 + "|\n", [True], id="many words"),
        pytest.param("| a | " + "long" * 30 + " |\n", [True], id="a word that is too long for the column"),
    ],
)
def test_rows_are_stacked_if_a_cell_that_is_not_the_first_needs_a_third_line(
    browser: Browser, gemini: FakeGemini, house: House, rows: str, stacked: list[bool]
) -> None:
    read(browser, house, gemini, "Before.\n\n" + HEAD + rows + "\nAfter.\n")
    assert browser.script(STACKED) == stacked
    assert browser.errors() == []


def test_a_table_in_a_quotation_has_the_room_beside_the_bar(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, f"> | {'m' * 13} | {'m' * 13} |\n> |---|---|\n> | a | b |\n")
    for _ in range(8):
        browser.script("document.getElementById('larger').onclick()")
        beyond = browser.script(
            "var table = document.querySelector('#text table').getBoundingClientRect();"
            "return table.right - document.getElementById('text').getBoundingClientRect().right;"
        )
        assert beyond <= 1


TIMES = """
  function best(action) {
    var least = Infinity, i, begun;
    for (i = 0; i < 5; i += 1) {
      begun = new Date().getTime();
      action();
      least = Math.min(least, document.body.offsetHeight && new Date().getTime() - begun);
    }
    return least;
  }
  var text = document.getElementById('text');
  return [
    best(function () { window.onresize(); }),
    best(function () {
      text.style.display = 'none';
      text.scrollTop = document.body.offsetHeight;
      text.style.display = '';
    })
  ];
"""


@pytest.mark.alone
def test_many_tables_are_measured_in_one_go(browser: Browser, gemini: FakeGemini, house: House) -> None:
    table = HEAD + "| Everest | 8848 m |\n\n"
    read(browser, house, gemini, (table + "A short paragraph.\n\n" * 8) * 300)
    fitted, once = browser.script(TIMES)
    assert fitted <= 5 * once, "a layout of the whole page for each table would take thirty times as long as one"
    assert browser.errors() == []


MANY_ROWS = "".join(
    f"| Number {n} | {'one line' if n % 3 else 'two lines<br>of words'} | {n} |\n" for n in range(40)
)
HIGH_ROWS = "".join(f"| Number {n} | one<br>two<br>three | a | b |\n" for n in range(24))
TABLES = f"""\
A paragraph.

| Name | Lines | No |
|---|---|---|
{MANY_ROWS}
Another paragraph.

| Name | Lines | A | B |
|---|---|---|---|
{HIGH_ROWS}
- An item:

{"".join("  " + line + chr(10) for line in ["| Name | Lines | No |", "|---|---|---|", *MANY_ROWS.splitlines()])}
- Another

> Quoted:
>
{"".join("> " + line + chr(10) for line in ["| Name | Lines | No |", "|---|---|---|", *MANY_ROWS.splitlines()])}

> - A quoted item:
>
{"".join(">   " + line + chr(10) for line in ["| Name | Lines | No |", "|---|---|---|", *MANY_ROWS.splitlines()])}

The end.
"""
CUT_ROWS = """
  var clip = document.getElementById('clip').getBoundingClientRect(), all = document.querySelectorAll('#text tr');
  var cut = [], i, box;
  for (i = 0; i < all.length; i += 1) {
    box = all[i].getBoundingClientRect();
    if (box.height > 0 && box.height < clip.height) {
      if (box.top < clip.bottom - 3 && box.bottom > clip.bottom + 3) { cut.push(all[i].textContent); }
      if (all[i].parentNode.nodeName === 'THEAD' && Math.abs(box.bottom - clip.bottom) < 3) { cut.push('head'); }
    }
  }
  return cut;
"""


@pytest.mark.parametrize("look", ["62", "48", "48b", "34", "17"])
def test_no_page_ends_inside_a_row_or_below_the_head(
    browser: Browser, gemini: FakeGemini, house: House, look: str
) -> None:
    choose_look(browser, house.url, look)
    read(browser, house, gemini, TABLES)
    last = page_number(browser)[1]
    assert last > 5
    assert any(browser.script(STACKED)) and (look == "17" or not all(browser.script(STACKED)))
    for number in range(last):
        assert browser.script(CUT_ROWS) == [], number
        lines_shown(browser)
        if number < last - 1:
            turn(browser, "next")
    assert browser.errors() == []


def test_a_row_higher_than_a_page_is_cut_between_lines(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, HEAD + "| One | " + "<br>".join("a line" for _ in range(60)) + " |\n\nThe end.\n")
    last = page_number(browser)[1]
    assert 2 < last < 7
    for _ in range(last - 1):
        assert len(lines_shown(browser)) > 1
        turn(browser, "next")


LOOKS = """
  var rows = document.querySelectorAll('#text tr'), seen = [], i, style, box;
  var line = parseFloat(document.getElementById('answer').style.lineHeight);
  for (i = 0; i < rows.length; i += 1) {
    style = window.getComputedStyle(rows[i].cells[0], ':before');
    box = rows[i].getBoundingClientRect();
    seen.push([Math.round(parseFloat(style.borderTopWidth)) || 0, Math.round(100 * box.height / line) / 100,
      window.getComputedStyle(rows[i].cells[1], null).textDecoration,
      window.getComputedStyle(rows[i].cells[1], ':before').textDecoration,
      window.getComputedStyle(rows[i].cells[0], null).fontWeight]);
  }
  return seen;
"""


def test_thin_rules_between_rows_keep_the_grid_and_heads_are_not_underlined(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    rows = "| a | b |\n" * 18
    read(browser, house, gemini, HEAD + rows + "\nThen:\n\n" + HEAD + "| a | b<br>c<br>d |\n" * 2)
    seen = browser.script(LOOKS)
    if engine.pictures:  # WebKit 533.3 does not tell the style of what stands before an element
        assert [row[0] for row in seen] == [0, 2, *[1] * 17, 0, 0, 1], "also in the second piece"
    assert all(height == round(height) for _, height, *_ in seen)
    assert not any("underline" in row[2] + row[3] for row in seen)
    assert seen[0][4] in ("bold", "700") and seen[1][4] in ("normal", "400")
    assert seen[-1][4] in ("bold", "700"), "of a stacked row the first cell is its head"


BROKEN_WORDS = """
  var walker = document.createTreeWalker(document.getElementById('text'), NodeFilter.SHOW_TEXT, null, false);
  var broken = [], range = document.createRange(), node, match, word = /[A-Za-z0-9']+/g;
  while ((node = walker.nextNode())) {
    while ((match = word.exec(node.nodeValue))) {
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      if (range.getClientRects().length > 1) { broken.push(match[0]); }
    }
  }
  return [broken, document.documentElement.scrollWidth];
"""
ORDINARY = [
    "| Heating | Advantages | Drawbacks |\n|---|---|---|\n"
    "| Heat pump | Little energy, no smoke, cools in summer | Large radiators or floor heating needed |\n",
    "| Country | Capital | Inhabitants | Language |\n|---|---|--:|---|\n"
    "| Liechtenstein | Vaduz | 39,000 | German |\n| Switzerland | none, but Berne | 8,900,000 | German, French |\n",
    "| Name | Height of the mountain | Circumference | Inhabitants of it |\n|---|---|---|---|\n"
    "| Kilimanjaro | 5895 m | incomprehensible | elephants |\n",
    "| Term | Meaning |\n|---|---|\n| Photosynthesis | Plants turn light into sugar, **extraordinarily** |\n"
    "| Internationalization | see [the article](https://example.org/a/long/path/that/goes/on) |\n",
    "| a | b | c | d | e | f | g |\n|---|---|---|---|---|---|---|\n| one | two | three | four | five | six | x |\n",
    "| Country | No | A | B |\n|---|---|---|---|\n| Liechtensteiners | 1 | 2 | 3 |\n",
    "| Incomprehensibilities | Counterrevolutionaries |\n|---|---|\n| a | b |\n",
]


@pytest.mark.parametrize("size", [(600, 706), (390, 844)], ids=["Kindle", "phone"])
def test_without_script_no_word_is_broken_and_nothing_is_wider_than_the_screen(
    engine: Engine,
    gemini: FakeGemini,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    screenshots: Path,
) -> None:
    alter_pages(monkeypatch, "<script>", '<script type="text/plain">')
    path = answered(house, gemini, "\n\nThen:\n\n".join(ORDINARY))
    with engine.start(*size) as browser:
        browser.open(house.url + path)
        assert "scripted" not in browser.script("return document.documentElement.className")
        broken, width = browser.script(BROKEN_WORDS)
        assert broken == []
        assert width <= size[0]
        assert True in browser.script(STACKED) and False in browser.script(STACKED)
        if engine.pictures:
            browser.screenshot(screenshots / f"scriptless-tables-{size[0]}-{engine.name}.png")


def test_a_short_cell_of_han_characters_stays_on_one_line(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    long = "红色的，甜的，很多人喜欢吃的一种水果，产自北方的果园"
    text = f"| 名称 | 价格 | 说明 |\n|---|---|---|\n| 苹果 | 三元 | {long} |\n"
    read(browser, house, gemini, text)
    heights = browser.script(
        "var range = document.createRange(), cells = document.querySelectorAll('#text .word'), found = [], i;"
        "for (i = 0; i < cells.length; i += 1) {"
        "  range.selectNodeContents(cells[i]); found.push(range.getClientRects().length); } return found;"
    )
    assert browser.script(STACKED) == [False]
    assert heights == [1] * 5
