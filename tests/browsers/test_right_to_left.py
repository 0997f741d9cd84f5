"""Arabic, in each engine: bars, bullets, cells and labels stand on the right, and code stays as it is."""

from __future__ import annotations

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .fed_page import FedPage, fed_pages
from .steps import read

QUOTATION = "العلم نور، والجهل ظلام، وهذا اقتباس طويل يمتد على أكثر من سطر واحد في الصفحة."
TEXT = f"""\
> {QUOTATION}
>
> > {QUOTATION}

1. قال الحكيم

   > {QUOTATION}

   - ثانيا

   ```
   code = "left"
   ```

> - قال
>
>   > {QUOTATION}

| المادة | النسبة |
|---|---|
| ملح | ٣٥ غرام |

| المادة | النسبة |
|---|---|
| ملح | ٣٥<br>غرام<br>كل |

المادة
: ملح

> An English quotation.
"""
SIDES = """
  var text = document.getElementById('text');
  function styles(selector, left, right) {
    var all = text.querySelectorAll(selector), found = [], i, style;
    for (i = 0; i < all.length; i += 1) {
      style = window.getComputedStyle(all[i], null);
      found.push([parseFloat(style[left]) > 0, parseFloat(style[right]) > 0]);
    }
    return found;
  }
  return {
    bars: styles('blockquote', 'borderLeftWidth', 'borderRightWidth'),
    spaces: styles('blockquote', 'paddingLeft', 'paddingRight'),
    lists: styles('ul, ol', 'paddingLeft', 'paddingRight'),
    cells: styles('th, table:not(.stacked) td', 'paddingLeft', 'paddingRight'),
    stacked: styles('.stacked td[data-label]', 'paddingLeft', 'paddingRight'),
    definitions: styles('dd', 'paddingLeft', 'paddingRight'),
    code: window.getComputedStyle(text.querySelector('pre'), null).direction,
    aligned: window.getComputedStyle(text.querySelector('td'), null).textAlign,
    words: text.querySelector('blockquote p').getBoundingClientRect().right
  };
"""
RIGHT = [False, True]


def test_bars_bullets_and_cells_of_right_to_left_text_stand_on_the_right(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, TEXT)
    seen = browser.script(SIDES)
    assert seen["bars"] == seen["spaces"] == [RIGHT] * 6 + [[True, False]], "one of them is in two pieces"
    assert seen["lists"] == [RIGHT] * 6
    assert seen["cells"] == [[True, False]] * 6, "the space is on the left of a cell"
    assert seen["aligned"] == "right"
    assert seen["stacked"] == seen["definitions"] == [RIGHT]
    assert seen["code"] == "ltr"
    assert browser.errors() == []


def test_a_quotation_from_right_to_left_has_its_bar_there_while_it_is_written(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with fed_pages(tmp_path_factory.mktemp("fed")) as url, engine.start(600, 706) as browser:
        page = FedPage(browser, url)
        page.begin()
        for piece in (
            f"> {QUOTATION} ",
            f"{QUOTATION}\n>\n> {QUOTATION}\n>\n",
            f"> > {QUOTATION} ",
            "\n\n- قال\n\n  > نور ",
        ):
            page.write(piece)
            bars = browser.script(
                "var all = document.querySelectorAll('#text blockquote'), found = [], i, style;"
                "for (i = 0; i < all.length; i += 1) { style = window.getComputedStyle(all[i], null);"
                "  found.push([parseFloat(style.borderLeftWidth) > 0, parseFloat(style.borderRightWidth) > 0]); }"
                "return found;"
            )
            assert bars and bars == [RIGHT] * len(bars), piece
        assert browser.errors() == []
