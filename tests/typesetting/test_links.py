"""Addresses that are written as they are become links; nothing else does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_typesetter import Look, html_of, pieces, typeset


def linked(text: str) -> list[str]:
    return re.findall(r'<a href="(.*?)"', "".join(html_of(text)))


@pytest.mark.parametrize("scheme", ["http://", "https://", "HTTPS://", "Http://"])
@pytest.mark.parametrize(
    ("before", "rest", "after"),
    [
        ("See ", "example.org", ""),
        ("See ", "example.org/a/b?c=d&amp;e#f", ", and more"),
        ("", "example.org", ". Then"),
        ("(", "example.org/a", ")"),
        ("(see ", "example.org/a_(b)", "), or"),
        ("", "example.org/a_(b)_(c)", "!?"),
        ("“", "example.org/", "”"),
        ("'", "example.org/it's", "'"),
        ("请看", "example.org/a", "。海水"),
        ("请看", "example.org/a", "海水"),
        ("（", "example.org", "）"),
        ("『", "example.org/a?b=c", "』です"),
        ("", "example.org:8080/", "에서"),
        ("", "example.org", "에서"),
        ("in ", "localhost:8000/a", ";"),
        ("", "192.168.1.23/settings", "..."),
        ("", "[2001:db8::1]:80/a", "."),
        ("**", "example.org/a_b_c", "**"),
        ("*", "example.org", "*"),
        ("**see ", "example.org/a?b", "**, *then*"),
        ("", "example.org/three_with_underscores_and*stars", " (a bare one)"),
        ("_", "example.org/a", "_"),
        ("~~", "example.org", "~~"),
        ("see:", "example.org", ":"),
        ("a\n", "example.org", "\nb"),
        ("- ", "example.org/-/-", " - a"),
        ("<kbd>", "example.org", "</kbd>"),
        ("", "example.org/K%C3%A4se", "\u2026"),
        ("\u202e", "moc.knab/", "\u202c"),
    ],
)
def test_an_address_becomes_a_link_without_the_punctuation_around_it(
    scheme: str, before: str, rest: str, after: str
) -> None:
    html = "".join(html_of(before + scheme + rest.replace("&amp;", "&") + after))
    href = scheme.lower() + rest
    assert re.findall(r'<a href="(.*?)" rel="noreferrer" dir="ltr">(.*?)</a>', html) in (
        [(href, scheme + rest)],
        [(scheme + rest, scheme + rest)],
    )
    assert not re.search(r"[*~]", html.replace(rest, ""))


def test_letters_of_other_alphabets_are_part_of_an_address() -> None:
    assert linked("https://de.example/Käse und") == ["https://de.example/K%C3%A4se"]
    assert linked("https://ar.example/ماء") == ["https://ar.example/%D9%85%D8%A7%D8%A1"]
    html = "".join(html_of("https://b\u0430nk.example/"))
    assert "xn--bnk-6cd.example)" in html, "a host that looks like another one is shown as it is"


@pytest.mark.parametrize(
    "text",
    [
        *("README.md", "www.example.org", "foo.py", "a@example.org", "mailto:a@example.org", "ftp://example.org"),
        *("example.org/a", "http:/example.org", "http:example.org", "http://", "https://.", "xhttp://example.org"),
        *("git+https://example.org", "javascript:http//a", "http://user:word@example.org", "http://a@example.org"),
        *("http://example%2eorg", "http://exa\\\\mple.org@b", "http://.example.org", "http://海.example"),
        *(
            "http://example.org:port/",
            "http\u017f://example.org",
            "http\\://a.example",
        ),
        *(
            "`http://example.org`",
            "``http://example.org``",
            "    http://example.org",
            "```\nhttp://example.org\n```",
        ),
    ],
)
def test_nothing_else_becomes_a_link(text: str) -> None:
    assert linked(text) == []


def test_no_link_is_inside_a_link_and_the_host_is_shown() -> None:
    html = "".join(
        html_of("[http://bank.example](http://evil.example) and [a http://b.example c](http://d.example)")
    )
    assert linked("[http://bank.example](http://evil.example)") == ["http://evil.example"]
    assert html.count("<a ") == 2 and "(evil.example)" in html and "(d.example)" in html
    assert linked("[http://a.example] and [b][http://c.example]") == ["http://a.example", "http://c.example"]
    assert linked("![http://a.example](http://b.example/c.png)") == ["http://b.example/c.png"]
    assert linked("<http://a.example/b_(c> http://d.example") == ["http://a.example/b_(c", "http://d.example"]


def test_a_cell_ends_an_address() -> None:
    assert linked("|a|b|\n|-|-|\n|http://a.example|https://b.example/c|\n") == [
        "http://a.example",
        "https://b.example/c",
    ]


def test_a_long_address_is_text() -> None:
    longest = "http://a.example/".ljust(1900, "b")
    assert linked(longest) == [longest]
    assert linked(longest + "b") == []
    assert Look(" ".join(html_of(longest + "b http://c.example"))).text == longest + "b http://c.example"


_PARTS = [
    "http://",
    "https://",
    "a.example",
    "/",
    "(",
    ")",
    "[",
    "]",
    "](http://b.example)",
    "*",
    "_",
    "`",
    "<",
    ">",
]
_PARTS += [" ", "\n", "海", "。", ".", ":", "@", "%", "\\", "é", "\u202e", "|", "&", '"']


@given(st.lists(st.sampled_from(_PARTS), max_size=30).map("".join))
def test_any_text_has_valid_links_only_and_no_chunking_changes_them(text: str) -> None:
    blocks = typeset([text])
    for block in blocks:
        Look(block.html)
    assert blocks == typeset(pieces(text, [2, 5]))
