"""Formulas in an answer, as each engine sets them."""

from __future__ import annotations

from pathlib import Path

from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .steps import lines_shown, page_number, paragraphs, read, take, text_of, turn

TEXT = r"""The roots of a quadratic, for $ax^2 + bx + c = 0$ with $a \neq 0$, are

$$
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}
$$

where the discriminant $\Delta = b^2 - 4ac$ decides how many there are of them.

1. A curve \( f(x) = \frac{1}{\sigma\sqrt{2\pi}} e^{-\frac{1}{2}\left(\frac{x-\mu}{\sigma}\right)^2} \) in an item
2. \[ \int_0^1 x^2 \, dx = \tfrac13, \qquad \sum_{i=1}^{n} i = \frac{n(n+1)}{2} \]

> The force is $\vec{F} = m\vec{a}$, the water \(\ce{H2O}\) and the tower $x^{y^{z^2}}$.

| Name | $|x|$ |
|---|---|
| Area | $\pi r^2$ |

\[
A = \begin{pmatrix} a_1 & b^2 \\ c & d \end{pmatrix}
\]

$$\begin{aligned}
f(x) &= (x-1)(x-2) \\
     &= x^2 - 3x + 2
\end{aligned}$$

It costs $5, not $10.
"""

MEASURES = """
var line = parseFloat(window.getComputedStyle(document.getElementById('answer'), null).lineHeight);
var all = document.getElementById('text').querySelectorAll('p, li, tr'), heights = [], i;
var formulas = document.querySelectorAll('#text > p.formula');
function of(element, property) { return window.getComputedStyle(element, null)[property]; }
for (i = 0; i < all.length; i += 1) { heights.push(all[i].offsetHeight / line); }
return {
  heights: heights, formulas: formulas.length, lines: formulas[formulas.length - 1].offsetHeight / line,
  indents: [of(formulas[0], 'textIndent'), of(formulas[formulas.length - 1], 'textIndent')],
  raised: of(document.querySelector('#text sup'), 'verticalAlign'),
  following: of(document.querySelector('#text > p.formula + p'), 'textIndent')
};
"""


def test_formulas_are_read_as_in_a_book_and_make_no_line_higher(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    read(browser, house, gemini, TEXT)
    assert "x = (−b ± √(b2 − 4ac)) / (2a)" in paragraphs(browser)
    shown = text_of(browser, "text")
    assert "∫01 x2 dx = 1/3" in shown and "H2O" in shown and "|x|" in shown and "It costs $5, not $10." in shown
    assert "\\" not in shown and shown.count("$") == 2 and "{" not in shown
    seen = browser.script(MEASURES)
    assert all(abs(height - round(height)) < 0.06 for height in seen["heights"]), "superscripts keep the grid"
    assert seen["formulas"] == 3 and round(seen["lines"]) == 2, "each row of the last one is a line"
    assert seen["indents"][0] == seen["indents"][1] != "0px" and seen["raised"] == "super"
    assert seen["following"] == "0px", "the sentence goes on behind a formula"
    _, last = page_number(browser)
    for number in range(1, last + 1):
        lines_shown(browser)
        take(browser, engine, screenshots / f"formulas-{engine.name}-{number}.png")
        if number < last:
            turn(browser, "next")
