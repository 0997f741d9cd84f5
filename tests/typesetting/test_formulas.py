"""Formulas: found in a model's Markdown, set as text that can be read, never damaged; and money stays money."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_typesetter import Look

from kindle_appliance.formulas.formula import set_formula
from kindle_appliance.markdown.library import _MARKDOWN, parse_blocks, render
from kindle_appliance.markdown.tail import OPEN
from kindle_appliance.typesetting.typesetter import Typesetter

# The source, and what must be read: `_{...}` and `^{...}` stand for sub- and superscripts, " / " for a new line.
_FORMULAS = [
    (r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}", "x = (−b ± √(b^{2} − 4ac)) / (2a)"),
    (r"x_1 + x_2 = -\frac{b}{a}", "x_{1} + x_{2} = −b/a"),
    (r"\{x_1, x_2\}", "{x_{1}, x_{2}}"),
    (r"\int_0^1 x^2 \, dx = \tfrac13", "∫_{0}^{1} x^{2} dx = 1/3"),
    (r"f * g * h", "f * g * h"),
    (r"e^{i\pi} + 1 = 0", "e^{iπ} + 1 = 0"),
    (r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}", "∑_{i=1}^{n} i = n(n+1)/2"),
    (r"\lim_{x \to 0} \frac{\sin x}{x} = 1", "lim_{x→0} (sin x)/x = 1"),
    (r"\frac{dy}{dx} = \frac{\partial f}{\partial x}", "dy/dx = ∂f/∂x"),
    (r"\frac{d}{dx}\left[x^n\right] = nx^{n-1}", "(d/dx)[x^{n}] = nx^{n−1}"),
    (r"E_k = \frac{1}{2}mv^2", "E_{k} = (1/2)mv^{2}"),
    (r"\sqrt[3]{27} = 3", "^{3}√27 = 3"),
    (r"\sqrt{2}\,\pi \neq \sqrt{2\pi}", "√2 π ≠ √(2π)"),
    (r"\vec{F} = m\vec{a}", "**F** = m**a**"),
    (r"f''(x) = \lim_{h\to0} \frac{f'(x+h)-f'(x)}{h}", "f″(x) = lim_{h→0} (f′(x+h)−f′(x))/h"),
    (r"P(A|B) = \frac{P(B|A)\,P(A)}{P(B)}", "P(A|B) = P(B|A) P(A)/P(B)"),
    (r"\mathbb{N} \subset \mathbb{Z} \subset \mathbb{Q} \subset \mathbb{R}", "ℕ ⊂ ℤ ⊂ ℚ ⊂ ℝ"),
    (r"A = \begin{pmatrix} a & b \\ c & d \end{pmatrix}", "A = | (a  b) | (c  d)"),
    (r"\det\begin{bmatrix}1&2\\3&4\end{bmatrix} = -2", "det | [1  2] | [3  4] = −2"),
    (r"|x| = \begin{cases} x, & x \geq 0 \\ -x, & \text{else} \end{cases}", "|x| = |    x, x ≥ 0 |    −x, else"),
    (r"\left\{ \begin{array}{l} x + y = 1 \\ x - y = 3 \end{array} \right.", "   x + y = 1 |    x − y = 3"),
    (
        "\\begin{aligned}\nf(x) &= (x-1)(x-2) \\\\\n&= x^2 - 3x + 2\n\\end{aligned}",
        "f(x) = (x−1)(x−2) | = x^{2} − 3x + 2",
    ),
    (r"\binom{n}{k} = \frac{n!}{k!(n-k)!}", "C(n, k) = n!/(k!(n−k)!)"),
    (r"90^\circ = \frac{\pi}{2}", "90° = π/2"),
    (r"\ce{2H2 + O2 -> 2H2O}", "2H_{2} + O_{2} → 2H_{2}O"),
    (r"\ce{SO4^2-}, \ce{Na+}, \ce{Ca(OH)2}", "SO_{4}^{2−}, Na^{+}, Ca(OH)_{2}"),
    (r"g = \SI{9.81}{m/s^2} \approx 9.81\,\mathrm{m\,s^{-2}}", "g = 9.81 m/s^{2} ≈ 9.81 m s^{−2}"),
    (r"c = \qty{3e8}{\metre\per\second}", "c = 3 · 10^{8} m/s"),
    (r"\boxed{x = 5}", "**x = 5**"),
    (r"a \equiv b \pmod{n}", "a ≡ b (mod n)"),
    (r"\left( \frac{a}{b} \right)^2 = \frac{a^2}{b^2}", "(a/b)^{2} = a^{2}/b^{2}"),
    (r"2\sin x\cos x = \sin 2x", "2 sin x cos x = sin 2x"),
    (r"\log_2 n! \le n\log_2 n", "log_{2} n! ≤ n log_{2} n"),
    (r"e^{-\frac{x^2}{2\sigma^2}}", "e^{−x^{2}/(2σ^{2})}"),
    (r"\text{speed} = \frac{\text{distance}}{\text{time}}", "speed = distance/time"),
    (r"\frac{3}{4} = 75\% = 0.75", "3/4 = 75% = 0.75"),
    (r"A \cup B = \{x \mid x \in A \text{ or } x \in B\}", "A ∪ B = {x | x ∈ A or x ∈ B}"),
    (r"\bar{x} = \frac{1}{n}\sum_{i=1}^n x_i", "x̄ = (1/n) ∑_{i=1}^{n} x_{i}"),
    (r"\forall \varepsilon > 0 \; \exists \delta > 0", "∀ε > 0 ∃δ > 0"),
    (r"A \Rightarrow B \iff \lnot B \implies \lnot A", "A ⇒ B ⇔ ¬B ⇒ ¬A"),
    (r"\nabla \times \mathbf{E} = -\frac{\partial \mathbf{B}}{\partial t}", "∇ × **E** = −∂**B**/∂t"),
    (r"\int_{-\infty}^{\infty} e^{-x^2} dx = \sqrt{\pi}", "∫_{−∞}^{∞} e^{−x^{2}} dx = √π"),
    (r"F = G\frac{m_1 m_2}{r^2}", "F = G(m_{1}m_{2}/r^{2})"),
    (r"x \notin \emptyset, \quad x \not= y, \quad x \not\in A", "x ∉ ∅,  x ≠ y,  x ∉ A"),
    (r"\underbrace{a + \cdots + a}_{n \text{ times}} = na", "(a + ⋯ + a)_{n times} = na"),
    (r"v = v_{\text{max}} \cdot \hat{n}, \; 1{,}000", "v = v_{max} · n̂, 1,000"),
    (r"y = mx + b \tag{1}", "y = mx + b  (1)"),
    (r"a_1, a_2, \ldots, a_n", "a_{1}, a_{2}, …, a_{n}"),
    (r"\therefore \abs{x} = \norm{x}, \ket{\psi}, \Re(z)", "∴ |x| = ‖x‖, |ψ⟩, Re(z)"),
    (r"x_{n+1} = x_n - \frac{f(x_n)}{f'(x_n)} + \frac1{n!}", "x_{n+1} = x_{n} − f(x_{n})/f′(x_{n}) + 1/n!"),
    (r"x^\frac12 = \sqrt x, \sqrt\frac{a}{b}, \frac\pi2", "x^{1/2} = √x, √(a/b), π/2"),
    (r"O(n^2), \mathcal{O}(n \log n), \mathbb{E}[X]", "O(n^{2}), O(n log n), **E**[X]"),
    (r"\$100 \times 1.05^{10} \approx \$162.89", "$100 × 1.05^{10} ≈ $162.89"),
    (r"3\frac{1}{2} + \frac{a/b}{c}", "3 1/2 + (a/b)/c"),
    (r"x^{y^{z}} = \left.\frac{1}{x}\right|_{x=1}", "x^{y^{z}} = 1/x|_{x=1}"),
]

_NO_FORMULAS = [
    "It costs $5 and not $10.",
    "US$ 5, US$6 or A$7",
    "a range of $5-$10",
    "costs $20, $30 or $40",
    "between $5 and 10$",
    "pay 5$ or 6$",
    "from $1.50 to 2.50$ a litre",
    "Save $1,000/month or $12,000/year",
    "$5/$6 a piece",
    "($5) and ($6)",
    "a budget of $100k–$200k, at $1.2 million",
    "echo $HOME and $PATH",
    "export PATH=$HOME/bin:$PATH",
    "${HOME}/bin:${PATH}",
    "$(pwd):$(ls)",
    "$i++;$j++",
    "a $ sign, and another $ sign",
    "Price: $$ to $$$",
    "cheap ($), dear ($$), dearer ($$$)",
    "价格是$5，然后是$6。",
    "the $-sign and the €-sign",
    "costs $5",
]


def read(html: str) -> str:
    """What a person reads: `_{...}` and `^{...}` for sub- and superscripts, "**" for bold, " | " for a new line."""
    html = re.sub(r" *<br />[ \n]*", " | ", html)
    html = html.replace("<sub>", "_{").replace("<sup>", "^{").replace("</sub>", "}").replace("</sup>", "}")
    html = re.sub("</?strong>", "**", html)
    return unescape(re.sub("<[^>]*>", "", html)).replace("\u00a0", " ").rstrip()


def html_of(text: str) -> str:
    typesetter = Typesetter()
    typesetter.feed(text)
    typesetter.close()
    return "\n".join(block.html for block in typesetter.blocks)


def open_html_of(text: str) -> str:
    """The HTML of a text that may go on at its end."""
    env: dict[str, Any] = {"references": {}, OPEN: True}
    return render(parse_blocks(text, env), env, 1 << 30) or ""


@pytest.mark.parametrize(("source", "readable"), _FORMULAS)
def test_a_formula_is_read_as_in_a_book(source: str, readable: str) -> None:
    html = set_formula(source, display=True)
    assert html is not None
    assert read(html) == readable


def test_no_character_of_a_formula_is_beyond_old_fonts() -> None:
    from kindle_appliance.formulas import symbols

    tables = [table for name, table in vars(symbols).items() if name.isupper()]
    assert all(
        len(sign.encode("utf-16-le")) == 2 * len(sign) for table in tables for sign in map("".join, table.values())
    )
    assert sum(len(table) for table in tables) > 400


@pytest.mark.parametrize("around", ["{}", "- {}", "> {}", "1. A step: {}", "a **b** {} c", "# {}"])
@pytest.mark.parametrize("marks", ["${}$", "$${}$$", "\\({}\\)", "\\[{}\\]"])
def test_a_formula_is_found_wherever_it_stands(marks: str, around: str) -> None:
    for source, _ in _FORMULAS[:20]:
        html = html_of(around.format(marks.format(source)) + "\n")
        expected = set_formula(source, display=marks in ("$${}$$", "\\[{}\\]"))
        assert expected is not None and expected in html
        assert "$" not in html and "\\" not in html
        Look(html)


@pytest.mark.parametrize(("opening", "closing"), [("$$", "$$"), ("\\[", "\\]")])
@pytest.mark.parametrize("prefix", ["", "  ", "> "])
def test_a_formula_on_lines_of_its_own_is_a_block_that_interrupts_a_paragraph(
    prefix: str, opening: str, closing: str
) -> None:
    lines = [
        "- an item" if prefix == "  " else prefix + "Before",
        opening,
        "a_1",
        "- b * c",
        "",
        "+ d * e",
        closing,
    ]
    text = "\n".join([lines[0], *(prefix + line for line in (*lines[1:], "after"))]) + "\n"
    html = html_of(text)
    assert '<p class="formula">a<sub>1</sub> − b * c + d * e</p>' in html
    assert "$" not in html and "[" not in html and "<em>" not in html
    assert html.index("formula") < html.index("after")


def test_a_formula_inside_a_paragraph_may_have_lines_that_look_like_other_blocks() -> None:
    html = html_of("The sum is \\[\na\n- b\n# c\n\\] which is *little*\nand $$\n1\n+ 2\n$$ more.\n")
    assert read(html) == "The sum is a − b#c which is little | and 1 + 2 more."
    assert html.count("<p") == 1 and "<em>little</em>" in html


def test_a_block_formula_may_have_punctuation_and_environments_need_no_signs() -> None:
    assert html_of("$$x_1$$.\n") == '<p class="formula">x<sub>1</sub>.</p>'
    text = "text\n\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}\nmore\n"
    assert html_of(text) == '<p>text</p>\n<p class="formula">a = b<br />c = d</p>\n<p>more</p>'


def test_bars_of_formulas_do_not_end_cells() -> None:
    html = html_of("| a | b |\n|---|---|\n| $|x|$ | \\(P(A|B)\\) |\n| $5 | $6 |\n")
    cells = re.findall("<td[^>]*>(.*?)</td>", html)
    assert cells == ["|x|", "P(A|B)", "$5", "$6"]


def test_the_label_of_a_cell_has_the_formula_of_its_heading() -> None:
    html = html_of("| a | $x_1 < 2$ |\n|---|---|\n| 1 | 2 |\n")
    assert 'data-label="x1 &lt; 2"' in html


@pytest.mark.parametrize("text", _NO_FORMULAS)
def test_money_and_the_shell_stay_as_they_are(text: str) -> None:
    for whole in (text, text + " In *time*.", f"{text}, and {text}", f"{text}\n{text}"):
        assert read(html_of(whole + "\n")) == whole.replace("*", "").replace("\n", " | ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"\$5 and \$6", "$5 and $6"),
        (r"\[1\] Author, \[sic\] and array\[0\]", "[1] Author, [sic] and array[0]"),
        (r"\(see the note below\)", "(see the note below)"),
        ("`$x$` and `\\(y\\)`", "$x$ and \\(y\\)"),
        ("    $x$\n", "$x$"),
        ("$x$, $5$, $n = 10$, $n$th and $i$-th", "x, 5, n = 10, nth and i-th"),
        ("$3 mod 2 = 1$ and $2 \\pi r$", "3 mod 2 = 1 and 2πr"),
        ("costs $5 for $x$", "costs $5 for x"),
        ("若$x$是$5$，则", "若x是5，则"),
    ],
)
def test_what_is_a_formula_and_what_is_not(text: str, shown: str) -> None:
    assert read(html_of(text)).strip() == shown


def test_nothing_in_a_fence_is_a_formula() -> None:
    assert html_of("```\n$$\nx_1\n$$\n```\n") == "<pre><code>$$\nx_1\n$$\n</code></pre>"


@pytest.mark.parametrize(
    "source",
    [
        r"\foo{x}_y * z_1 * 2",
        r"\frac{a}{b",
        r"a}{b",
        r"\begin{cases} x",
        r"\begin{tikzpicture} a \end{tikzpicture}",
    ],
)
def test_what_is_not_understood_is_shown_as_it_was_written_as_code(source: str) -> None:
    for marks in ("${}$", "\\({}\\)", "text \\[{}\\] text", "$${}$$"):
        html = html_of(marks.format(source) + "\n")
        assert [unescape(code) for code in re.findall("<code>(.*?)</code>", html)] == [source]


def test_the_lines_of_a_block_that_is_not_understood_stay() -> None:
    assert html_of("$$\n\\foo\n<bar>\n$$\n") == '<p class="formula"><code>\\foo<br />&lt;bar&gt;</code></p>'


def test_a_formula_in_a_right_to_left_text_runs_from_left_to_right() -> None:
    assert '<span dir="ltr">x + 1</span>' in html_of("المعادلة $x + 1$ هنا\n")


# While the text grows


@pytest.mark.parametrize("marks", ["${}$", "$${}$$", "\\({}\\)", "\\[{}\\]", "$$\n{}\n$$", "\\[\n{}\n\\]"])
@pytest.mark.parametrize("before", ["", "See: ", "- a\n- ", "> "])
def test_an_open_text_never_shows_signs_of_a_formula_that_is_to_come(before: str, marks: str) -> None:
    for source, _ in _FORMULAS:
        if "\n" in source + marks and (before == "> " or "\n" not in marks):
            continue
        text = before + marks.format(source)
        for end in range(len(before), len(text)):
            html = open_html_of(text[:end])
            assert "$" not in html.replace("$100", "") and "\\" not in html, text[:end]


@pytest.mark.parametrize("text", [text for text in _NO_FORMULAS if "$$" not in text and "{" not in text])
def test_an_open_text_shows_money_when_the_word_behind_it_is_clear(text: str) -> None:
    assert read(open_html_of(text + " for all of it, in a year.\n\nMore")) in (
        read(html_of(text + " for all of it, in a year.\n\nMore\n"))
    )


def test_an_amount_does_not_hold_back_its_whole_line() -> None:
    assert read(open_html_of("It costs $5 and")) == "It costs $5 and"
    assert read(open_html_of("It costs $15/month. The")) == "It costs $15/month. The"
    assert read(open_html_of("It is $x and")) == "It is"


@pytest.mark.parametrize("opening", ["$$", "\\[", "text $$", "text \\["])
def test_a_formula_without_an_end_waits_for_at_most_2000_characters(opening: str) -> None:
    short, long = opening + " a_1" * 400, opening + " a_1" * 600
    assert "a_1" not in open_html_of(short)
    assert open_html_of(long).count("a_1") == 600
    typesetter = Typesetter()
    assert typesetter.feed(f"{opening}\n" + "- b\n" * 300) == []
    blocks = typesetter.feed("- c\n" * 600)
    assert "".join(block.html for block in blocks).count("<li") > 300


def test_a_formula_without_an_end_is_text_in_the_end() -> None:
    html = html_of("a\n$$\nx + 1\n- b\n")
    assert html == '<p>a</p>\n<p class="verse">$$<br />\nx + 1</p>\n<ul>\n<li>b</li>\n</ul>'


def test_half_a_formula_does_not_settle() -> None:
    typesetter = Typesetter()
    assert [block.html for block in typesetter.feed("before\n$$\n")] == ["<p>before</p>"]
    assert typesetter.feed("a\n\n# b\n\n- c\n1. d\n```\n") == []
    assert len(typesetter.feed("$$\n")) == 1


_FRAGMENTS = [
    *("$", "$$", "\\(", "\\)", "\\[", "\\]", "\n", "\n\n", " ", "x", "x_1", "5", "a^2", "\\frac{a}{b}", "{", "}"),
    *("\\begin{align}", "\\end{align}", "\\begin{pmatrix}", "\\end{pmatrix}", "&", "\\\\", "\\text{", "- ", "> "),
    *("1. ", "|", "| a | b |\n|---|---|\n", "```\n", "*", "`", "word ", "\\foo", "\\sqrt", "\\left", "^", "_"),
    *("'", "\\over ", "%", "\\not", "\\hat", "\\ce{", "海", "ف", "<", "\\[\n", "$$\n", "\\", "# "),
]  # fmt: skip
_TEXTS = st.lists(st.sampled_from(_FRAGMENTS), max_size=40).map("".join)


@settings(max_examples=400, deadline=None)
@given(_TEXTS, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_any_chunking_gives_the_same_blocks_of_allowed_tags(text: str, sizes: list[int]) -> None:
    whole, cut = Typesetter(), Typesetter()
    whole.feed(text)
    at = 0
    while at < len(text):
        for size in sizes:
            cut.feed(text[at : at + size])
            cut.tail()
            at += size
    whole.close()
    cut.close()
    assert whole.blocks == cut.blocks
    Look("".join(block.html for block in whole.blocks))


@settings(max_examples=300, deadline=None)
@given(_TEXTS)
@example("x\n$$\n$$")  # no formula, which is known too late for the line before it
@example("$$\n$$a\nb\n$$\n$$")
def test_the_blocks_together_show_what_the_whole_text_shows(text: str) -> None:
    def shown(html: str) -> str:
        return re.sub("<[^>]*>|\\s", "", html)

    assert shown(html_of(text)) == shown(_MARKDOWN.render(text))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([fragment for fragment in _FRAGMENTS if "\n" not in fragment]), max_size=25))
def test_no_letter_or_digit_of_a_formula_is_lost(fragments: list[str]) -> None:
    source = "".join(fragments)
    html = set_formula(source, display=True)
    if html is not None:
        Look(html)
        for kept in "x15ab海ف":
            commands = re.sub(r"\\(begin|end)\{\w+\}|\\[A-Za-z]+|\\ce", "", source)
            assert read(html).count(kept) >= commands.count(kept), kept


def test_ten_thousand_braces_are_shown_as_written_at_once() -> None:
    begin = time.thread_time()
    assert set_formula("{" * 10_000 + "}" * 10_000, display=True) is None
    for source in ("{" * 1900, "\\frac{" * 300, "\\sqrt" * 350, "x^" * 900, "a \\over " * 200, "\\hat" * 400):
        html = html_of(f"\\({source}\\)\n")
        assert re.sub("<[^>]*>", "", html).strip() == source.strip()
    assert time.thread_time() - begin < 5


# The library


def test_an_answer_without_a_formula_does_not_load_the_parser_of_formulas() -> None:
    code = (
        "import sys\n"
        "from kindle_appliance.typesetting.typesetter import Typesetter\n"
        "def typeset(text):\n"
        "    typesetter = Typesetter()\n"
        "    typesetter.feed(text)\n"
        "    typesetter.close()\n"
        "typeset('It costs $5, not $10, and *a* \\\\[1\\\\].\\n\\n- a\\n')\n"
        "assert 'pylatexenc' not in sys.modules\n"
        "typeset('$x$')\n"
        "assert 'pylatexenc' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_threads_may_set_their_first_formula_at_the_same_time() -> None:
    code = (
        "import threading\n"
        "from kindle_appliance.formulas.formula import set_formula\n"
        "found = []\n"
        "def run(number):\n"
        "    barrier.wait()\n"
        "    found.append(set_formula('x_%d' % number, False))\n"
        "barrier = threading.Barrier(8)\n"
        "threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert sorted(found) == ['x<sub>%d</sub>' % n for n in range(8)], found\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_formulas_of_the_shared_case_are_read_as_they_must_be(shared: Path) -> None:
    text = (shared / "cases" / "markdown" / "math.md").read_text(encoding="utf-8")
    lines = read(html_of(text)).split("\n")
    assert "For ax^{2} + bx + c = 0 with a ≠ 0 the solution is" in lines
    assert "x = (−b ± √(b^{2} − 4ac)) / (2a)" in lines
    assert "f(x) = (x−1)(x−2) | = x^{2} − 3x + 2" in lines
    assert "The set {x_{1}, x_{2}} has sum x_{1} + x_{2} = −b/a" in lines
    end = "So f * g * h is a product, ∫_{0}^{1} x^{2} dx = 1/3, and the price is $5, not $10."
    assert lines[-1] == end
