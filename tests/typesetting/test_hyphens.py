"""Soft hyphens: which words get them, and which dictionaries are in memory."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from html import unescape
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyphen import LANGUAGES, HyphDict

from kindle_appliance.text.hyphens import (
    DICTIONARIES,
    MOST_DICTIONARIES,
    SOFT_HYPHEN,
    Hyphens,
    Patterns,
    Words,
)
from kindle_appliance.text.languages import language_of
from kindle_appliance.typesetting.typesetter import Typesetter


@pytest.fixture(scope="module")
def english() -> Words:
    return Words("en")


def shown(words: Words, html: str) -> str:
    return words.into(html).replace(SOFT_HYPHEN, "-")


def typeset(text: str) -> list[str]:
    typesetter = Typesetter()
    typesetter.feed(text)
    typesetter.close()
    return [block.html for block in typesetter.blocks]


def test_words_of_prose_get_hyphens_where_the_dictionary_has_them(english: Words) -> None:
    assert shown(english, "<p>The reforms of Diocletian and Constantine had strengthened the bureaucracy.</p>") == (
        "<p>The reforms of Dio-cle-tian and Con-stan-tine had strength-ened the bureau-cracy.</p>"
    )


@pytest.mark.parametrize(
    "html",
    [
        pytest.param("<p>of <code>constantine</code></p>", id="code"),
        pytest.param("<pre><code>of constantine</code></pre>", id="a block of code"),
        pytest.param("<h2>of the bureaucracy</h2>", id="a heading"),
        pytest.param("<p><strong>Of the bureaucracy</strong></p>", id="a bold heading"),
        pytest.param("<table><tbody><tr><td>of the bureaucracy</td></tr></tbody></table>", id="a table"),
        pytest.param('<p class="formula">of velocity</p>', id="a formula"),
        pytest.param("<p>of https://constantine.example/bureaucracy?constantine=communities</p>", id="an address"),
        pytest.param("<p>of constantine@communities.example</p>", id="mail"),
        pytest.param('<p>of <a href="https://communities.example">communities.example</a></p>', id="a link"),
        pytest.param("<p>of communities2 and 3communities</p>", id="digits"),
        pytest.param("<p>of CONSTANTINE and JavaScriptEngine</p>", id="capitals"),
        pytest.param("<p>of the self-sufficient communities-to-be</p>", id="compounds"),
        pytest.param("<p>of snake_case_communities</p>", id="names of programs"),
        pytest.param("<p>of many weeks and ideas</p>", id="short words"),
        pytest.param("<p>of com\u00admunities</p>", id="hyphens of its own"),
        pytest.param("<p>of com<em>mun</em>ities and bureau<b>cracies</b></p>", id="words with marks inside"),
        pytest.param("<p>Communities, soldiers, provided!</p>", id="no frequent word"),
        pytest.param("<p>Der König von Frankreich und die Gemeinden sind verloren.</p>", id="another language"),
    ],
)
def test_what_is_no_plain_word_of_the_language_gets_none(english: Words, html: str) -> None:
    assert english.into(html) == html


@pytest.mark.parametrize(
    ("text", "divided"),
    [
        (
            "of &quot;communities&quot; (soldiers), provided: frontier.",
            "com-mu-ni-ties&quot; (sol-diers), pro-vided: fron-tier.",
        ),
        (
            "of <em>communities</em>, “soldiers” and Constantine’s",
            "<em>com-mu-ni-ties</em>, “sol-diers” and Con-stan-tine’s",
        ),
        ("the soldiers—communities … frontier", "sol-diers—com-mu-ni-ties … fron-tier"),
        (
            'of <a href="https://a.example/communities">soldiers</a>',
            '<a href="https://a.example/communities">sol-diers',
        ),
    ],
)
def test_punctuation_and_marks_beside_a_word_do_not_matter(english: Words, text: str, divided: str) -> None:
    assert divided in shown(english, f"<p>{text}</p>")


def test_no_word_gets_hyphens_because_of_what_comes_later(english: Words) -> None:
    text = (
        "Soldiers of Constantine provided communities. Die Gemeinden und der König sind nicht verloren, soldiers."
    )
    whole = english.into(f"<p>{text}</p>")
    for end in (match.start() for match in re.finditer(" ", text)):
        begun = english.into(f"<p>{text[:end]}</p>").removesuffix("</p>")
        assert whole.startswith(begun), begun


_PARTS = [
    *(
        "the ",
        "of ",
        "communities",
        "strengthened",
        " ",
        "\n",
        ", ",
        ".",
        "&amp;",
        "&quot;",
        "’",
        "—",
        "-",
        "2",
        "a.b/c",
    ),
    *(
        "<em>",
        "</em>",
        "<strong>",
        "</strong>",
        "<code>",
        "</code>",
        "<br />",
        "</p>\n<p>",
        "<ul>\n<li>",
        "</li>\n</ul>",
    ),
    *(
        '<a href="https://communities.example/strengthened" rel="noreferrer">',
        "</a>",
        "\u00ad",
        "é",
        "海",
        "der ",
        "\ud800",
    ),
]


@given(
    st.lists(
        st.one_of(st.sampled_from(_PARTS), st.text(max_size=8).map(lambda text: text.replace("<", ""))), max_size=40
    )
)
def test_without_the_soft_hyphens_any_html_is_what_it_was(parts: list[str]) -> None:
    html = f"<p>{''.join(parts)}</p>"
    divided = ENGLISH.into(html)
    assert re.findall("<[^>]*>", divided) == re.findall("<[^>]*>", html)
    assert re.findall("&[^;]*;", divided) == re.findall("&[^;]*;", html)
    if SOFT_HYPHEN not in html:
        assert divided.replace(SOFT_HYPHEN, "") == html
        for word in re.findall(f"[\\w{SOFT_HYPHEN}]*{SOFT_HYPHEN}[\\w{SOFT_HYPHEN}]*", unescape(divided)):
            assert min(map(len, (word.split(SOFT_HYPHEN)[0], word.split(SOFT_HYPHEN)[-1]))) >= 3, word


ENGLISH = Words("en")


def test_a_block_gets_the_same_hyphens_alone_and_among_others(english: Words) -> None:
    text = "The *reforms* of Diocletian had strengthened it.\n\n- the communities\n- of soldiers\n\nThe end.\n"
    settled = "".join(map(english.into, typeset(text)))
    assert settled == english.into("".join(typeset(text)))


def test_words_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindle_appliance.text.hyphens._MOST_WORDS", 3)
    english = Words("en")
    for word in ("communities", "soldiers", "provided", "strengthened", "communities"):
        english.divide(word)
        assert len(english._divided) <= 3


def test_html_too_long_for_prose_gets_none() -> None:
    hyphens = Hyphens(read=lambda language: ENGLISH)
    load(hyphens, "en")
    assert SOFT_HYPHEN in hyphens.into("<p>of communities</p>", "en")
    assert SOFT_HYPHEN not in hyphens.into(f"<p>of {'communities ' * 6000}</p>", "en")


# ---- The dictionaries in memory


class Loads:
    """Reads of dictionaries that wait for the test."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.may_end = threading.Event()

    def __call__(self, language: str) -> Words:
        self.wanted.append(language)
        assert self.may_end.wait(20)
        if language == "it":
            raise OSError("the card is damaged")
        return ENGLISH


def load(hyphens: Hyphens, *languages: str) -> None:
    """Wait until these are in memory."""
    for language in languages:
        while not hyphens.has(language):
            wait_for_thread()


def wait_for_thread() -> None:
    for thread in threading.enumerate():
        if thread.name == "dictionary":
            thread.join(20)


def test_a_dictionary_is_read_once_in_a_thread_of_its_own_while_texts_come_without_hyphens() -> None:
    loads = Loads()
    hyphens = Hyphens(loads)
    html = "<p>of communities</p>"
    assert not hyphens.has("en") and not hyphens.has("en") and hyphens.into(html, "en") == html
    loads.may_end.set()
    load(hyphens, "en")
    assert SOFT_HYPHEN in hyphens.into(html, "en") and loads.wanted == ["en"]


@pytest.mark.parametrize("language", ["de", "nl", "zh", "", None, "../en"])
def test_there_is_no_dictionary_for_other_languages(language: str | None) -> None:
    loads = Loads()
    assert not Hyphens(loads).has(language) and not loads.wanted


def test_a_third_dictionary_waits_until_one_of_two_has_been_idle() -> None:
    now = [0.0]
    loads = Loads()
    loads.may_end.set()
    hyphens = Hyphens(loads, lambda: now[0])
    load(hyphens, "en", "fr")
    now[0] = 500.0
    assert hyphens.has("fr") and not hyphens.has("es")
    now[0] = 700.0
    load(hyphens, "es")
    assert len(hyphens._words) == MOST_DICTIONARIES == 2
    assert hyphens.has("fr") and not hyphens.has("en"), "the oldest has gone, and nothing makes room yet"
    assert loads.wanted == ["en", "fr", "es"]


def test_a_dictionary_that_cannot_be_read_costs_only_the_hyphens(caplog: pytest.LogCaptureFixture) -> None:
    loads = Loads()
    loads.may_end.set()
    hyphens = Hyphens(loads)
    assert not hyphens.has("it")
    wait_for_thread()
    assert "the dictionary for 'it' cannot be read" in caplog.text
    load(hyphens, "en")


_MEASURE = """
import re, sys
from kindle_appliance.text.hyphens import (
    DICTIONARIES,
    MOST_DICTIONARIES,
    SOFT_HYPHEN,
    Hyphens,
    Patterns,
    Words,
)
import pyphen
def used():
    with open("/proc/self/smaps_rollup") as file:
        return int(re.search("Private_Dirty: +([0-9]+)", file.read())[1])
before = used()
words = Words(sys.argv[1])
print(used() - before)
"""


@pytest.mark.parametrize("language", DICTIONARIES)
def test_a_dictionary_divides_words_as_pyphen_does(language: str) -> None:
    theirs, ours = HyphDict(LANGUAGES[DICTIONARIES[language]]), Patterns(language)
    pieces = sorted(key.strip(".") for key in theirs.patterns)
    starts = [key.strip(".") for key in sorted(theirs.patterns) if key[0] == "."] or pieces
    ends = [key.strip(".") for key in sorted(theirs.patterns) if key[-1] == "."] or pieces
    choose = Random(language).choice
    words = [choose(starts) + choose(pieces) + choose(ends) for _ in range(5000)]
    divided = 0
    for word in words:
        found, wanted = ({at for at in each.positions(word) if 3 <= at <= len(word) - 3} for each in (ours, theirs))
        assert found == wanted, word
        divided += bool(found)
    assert divided > 1000


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("language", DICTIONARIES)
def test_a_dictionary_takes_less_than_five_megabytes(language: str) -> None:
    done = subprocess.run([sys.executable, "-c", _MEASURE, language], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5 * 1024


# ---- The language of a text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Why is the sea salty?", "en"),
        ("Pourquoi la mer est-elle salée ?", "fr"),
        ("¿Por qué el mar es salado?", "es"),
        ("Perché il mare è salato?", "it"),
        ("Por que o mar é salgado?", "pt"),
        ("Warum ist das Meer salzig?", "de"),
        ("Waarom is de zee zout?", "nl"),
        ("Per què el mar és salat?", "ca"),
        ("海为什么是咸的？", "zh"),
        ("海はなぜ塩辛いのですか。", "ja"),
        ("Why?", "the reader's"),
        ("Photosynthesis", "the reader's"),
        ("Los Angeles", "the reader's"),
        ("", "the reader's"),
        ("Почему море солёное?", None),
        ("لماذا البحر مالح؟", None),
        (
            "Meri on suolaista, koska joet kuljettavat mineraaleja kivistä ja laskevat ne valtamereen, jossa vesi",
            None,
        ),
    ],
)
def test_a_text_tells_its_language_or_leaves_it_in_doubt(text: str, language: str | None) -> None:
    assert language_of(text, "the reader's") == language


@pytest.mark.parametrize(
    ("language", "text", "divided"),
    [
        ("en", "of the communities", "com-mu-ni-ties"),
        ("fr", "dans les communautés", "com-mu-nau-tés"),
        ("es", "en las comunidades", "comu-ni-da-des"),
        ("it", "nella comunicazione", "comu-ni-ca-zione"),
        ("pt", "nas comunidades", "comu-ni-da-des"),
    ],
)
def test_each_language_is_divided_by_its_own_rules(language: str, text: str, divided: str) -> None:
    assert divided in shown(Words(language), f"<p>{text}</p>")
