"""Emoji are left out of pages, or have an old sign in their place; all that old fonts have stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_typesetter import Look, html_of, pieces, typeset

from kindle_appliance.text.emoji import code_without_emoji, markdown_without_emoji, without_emoji


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hello 👋 there", "Hello there"),
        ("Hello 👋🏽 there", "Hello there"),
        ("Hello 🎉🎊 there", "Hello there"),
        ("Hello 🎉 🎊 there", "Hello there"),
        ("Hello👋 there", "Hello there"),
        ("Hello 👋there", "Hello there"),
        ("Hello 👋!", "Hello!"),
        ("Hello 👋", "Hello"),
        ("👋 Hello", "Hello"),
        ("one 🎈\n🚀 two\n🚀", "one\ntwo\n"),
        ("(🌊 Sea) “🌊 Sea” (Sea 🌊)", "(Sea) “Sea” (Sea)"),
        ("海🌊水，🌊。", "海水，。"),
        ("🌊 **Sea**", "**Sea**"),
        ("**🌊 Sea** and *Sea 🌊* and **Sea**🌊 and", "**Sea** and *Sea* and **Sea** and"),
        ("a 🌊**b** c", "a **b** c"),
        ("**🌊**", ""),
        ("a **🌊** b *🌊🎉* c __🌊 🎉__", "a  b  c "),
        ("**_🌊_** ~~🌊~~ **✅**", "  **✓**"),
        ("***🌊** a*", "***** a*"),
        ("👨‍👩‍👧 🇩🇪 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 👩🏽‍🚀 🏳️‍🌈 x", "x"),
        ("✅ yes ❌ no ⭐ star ➡️ so ⚠️ care", "✓ yes ✗ no ★ star → so ⚠ care"),
        ("1️⃣ one 2️⃣ two 🔟 ten #️⃣", "1 one 2 two 10 ten #"),
        ("❤️ ☀️ ✔️ ☑️ ❤️‍🔥", "❤ ☀ ✔ ☑ ❤"),
        ("`🌊 a` 🌊 ``b ` 🌊`` c", "`🌊 a` ``b ` 🌊`` c"),
        ("\\`🌊 a\\` b", "\\` a\\` b"),
        ("hard 👋  \nbreak", "hard  \nbreak"),
    ],
)
def test_emoji_and_the_spaces_beside_them_go(text: str, shown: str) -> None:
    assert markdown_without_emoji(text) == shown


OLD = (  # what a font of 2008 has
    "→ ⇒ ↔ ⟶ ↦ ≤ ≥ ≠ ≈ ∑ ∫ √ ∞ ∂ ∈ ∉ ⊂ ∀ ∃ ℝ ℕ H₂O x² xⁿ 10⁻³ ½ ⅓ αβγδ Ωλμπ ✓ ✔ ✗ ✘ ☑ ☐ ☒ ★ ☆ ● ○ ■ □ ▪ "
    "⌘ ⏎ ⇧ ┌─┐│└┘ … – — ‘ ’ “ ” „ ⚠ ❤ ☺ ☹ ♠ ♥ ♦ ♣ ☀ ☂ ☎ ✈ ✉ ✂ ♪ © ® ™ ‼ ℹ ⚙ ⚡ ☕ ♻ ♿ ⚓ ♈ ⚪ ⚫ 〰 ㊗ "
    "ˈkɪndəl ə ʃ θ tiếng Việt हिन्दी क्‍ष ภาษาไทย עברית العربية می‌خواهم 葛\U000e0100 é 𝑥 𝔸 𠮷"
)


def test_what_old_fonts_have_stays() -> None:
    assert without_emoji(OLD) == OLD == code_without_emoji(OLD)


def test_the_shared_symbols_stay_but_for_the_faces(shared: Path) -> None:
    text = (shared / "cases" / "markdown" / "symbols.md").read_text("utf-8")
    shown = Look("".join(html_of(text))).text
    assert shown.strip() == re.sub("faces.*1️⃣", "faces, variation ❤ ⚠ 1", text).strip()


def test_code_keeps_its_characters() -> None:
    assert code_without_emoji('├── 📁 src\nprint("✅ 👩‍🚀 1️⃣ ⚠️")') == '├── □ src\nprint("✓ □ 1 ⚠")'
    assert html_of("`👋 a` 👋 b") == ["<p><code>□ a</code> b</p>"]
    assert html_of("```\n📁 a\n```\n\n    📁 b") == [
        "<pre><code>□ a\n</code></pre>",
        "<pre><code>□ b\n</code></pre>",
    ]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("\\`👋`", "<p>``</p>"),
        ("\\`&#128075;`", "<p>``</p>"),
        ("\\\\`👋`", "<p>\\<code>□</code></p>"),
        ("\\``👋`", "<p>`<code>□</code></p>"),
        ("`👋\\` a`", "<p><code>□\\</code> a`</p>"),
        ("``👋\\`` a`", "<p><code>□\\</code> a`</p>"),
    ],
)
def test_a_backslash_keeps_a_backtick_from_opening_a_code_but_not_from_ending_it(text: str, html: str) -> None:
    assert html_of(text) == [html]


def test_a_text_that_is_shown_as_it_is_has_no_codes() -> None:
    assert without_emoji("`👋 a` 👋 b") == "` a` b"


TABLE = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr>"
HOST = '<span dir="ltr">(a.example)</span>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("## 🚀 Start", '<h2 class="heading">Start</h2>'),
        ("🌊 **Sea** is *salty 🧂*", "<p><strong>Sea</strong> is <em>salty</em></p>"),
        ("- ✅ **Done**\n", "<ul><li>✓ <strong>Done</strong></li></ul>"),
        ("- 🌊\n", "<ul><li></li></ul>"),
        ("- [ ] 🌊 a\n", '<ul><li class="task">☐ a</li></ul>'),
        ("🚀\n\n# 🚀\n\na 🚀", "<p>a</p>"),
        ("> 🚀\n>\n> a", "<blockquote><p>a</p></blockquote>"),
        ("|🌊 a|b|\n|-|-|\n|c|✅|", f'{TABLE}<td>c</td><td data-label="b">✓</td></tr></tbody></table>'),
        ("|a|🌊 b|\n|-|-|\n|c|d|", f'{TABLE}<td>c</td><td data-label="b">d</td></tr></tbody></table>'),
        ("[🌊 Sea](http://a.example)", f'<p><a href="http://a.example" rel="noreferrer">Sea {HOST}</a></p>'),
        ("Term 🌊\n: 🌊 sea", "<dl><dt>Term</dt><dd>sea</dd></dl>"),
        ("a[^1]\n\n[^1]: 🌊 sea", '<p>a<sup>1</sup></p><p class="footnote"><sup>1</sup> sea</p>'),
    ],
)
def test_emoji_go_from_every_kind_of_text(text: str, html: str) -> None:
    assert "".join(html_of(text)).replace("\n", "") == html


def test_offsets_count_the_stored_text() -> None:
    text = "🌊🌊 **a**\n\n👋\n\nb"
    assert [block.upto for block in typeset([text])] == [10, 13, 14]


_PARTS = ["👋", "🏽", "\u200d", "\ufe0f", "\u20e3", "1", "✅", "**", "*", "`", "``", " ", "\n", "a", "(", ")", "\\"]
_PARTS += ["🇩", "🇪", "\U000e0067", "海", "# ", "- ", "&#128075;"]
_CHANGED = re.compile("[👋🏽✅🇩🇪\ufe0f\u20e3\U000e0067]")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PARTS), max_size=30).map("".join))
def test_no_emoji_is_left_and_no_word_is_lost(text: str) -> None:
    shown, source = without_emoji(text), markdown_without_emoji(text)
    assert not _CHANGED.search(shown)
    assert not _CHANGED.search(re.sub("`.*`", "", source, flags=re.DOTALL))
    for word in ("a", "海", "(", "\n"):
        assert shown.count(word) == source.count(word) == text.count(word)
    blocks = typeset([text])
    assert blocks == typeset(pieces(text, [1, 3]))
    for block in blocks:
        assert not _CHANGED.search(Look(block.html).text)
