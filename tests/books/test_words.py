"""Finding a place by a few words of a page, as people type them: in books made here, and in real ones."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from string import ascii_lowercase

import pytest
from conftest import Soak
from hypothesis import given
from hypothesis import strategies as st
from ratios import assert_usual_ratio

from kindle_appliance.books import words
from kindle_appliance.books.typed_words import TypedWords, passage_terms
from kindle_appliance.epub.book import Passage
from kindle_appliance.epub.reading import read
from kindle_appliance.storage.database import Database, Row
from kindle_appliance.storage.migrations import Schema

PASSAGES = "CREATE TABLE passages (id INTEGER PRIMARY KEY, start INTEGER NOT NULL, text TEXT NOT NULL);"
SCHEMA = Schema((PASSAGES + words.INDEX,), frozenset({"passages"}), "passages")
SAMPLES = 150
FEW = 50
NEARLY = 12
"""So many characters beside the end of the words are still on the same line."""


class Shelf(Database):
    """Books as passages, in a file of their own. `rows`: how many were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self.next = 1
        self.rows = 0

    def read(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        found = super().read(query, values)
        self.rows += len(found)
        return found

    def add(self, texts: Sequence[str]) -> Book:
        first, start = self.next, 0
        with self.write() as connection:
            for text in texts:
                connection.execute("INSERT INTO passages VALUES (?, ?, ?)", (self.next, start, text))
                words.add(connection, first, self.next, text)
                start += len(text)
                self.next += 1
        return Book(self, first, texts)


class Book:
    def __init__(self, shelf: Shelf, first: int, texts: Sequence[str]) -> None:
        self.shelf = shelf
        self.first, self.last = first, first + len(texts) - 1
        self.texts = texts
        self.text = "".join(texts)

    def find(self, typed: str, most: int = 5) -> list[int]:
        return words.find(self.shelf, self.first, self.last, typed, most)

    def has_found(self, typed: str, end: int) -> bool:
        return any(abs(place - end) <= NEARLY for place in self.find(typed))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with closing(Shelf(tmp_path / "books.sqlite")) as shelf:
        yield shelf


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Book]]:
    """Opens a real book by the name of its file."""
    known: dict[str, Book] = {}

    def open_book(name: str) -> Book:
        if name not in known:
            passages: list[Passage] = []
            read(shared / "books" / f"{name}.epub", passages.append)
            known[name] = opened.add([passage.text for passage in passages])
        return known[name]

    with closing(Shelf(tmp_path_factory.mktemp("real") / "books.sqlite")) as opened:
        yield open_book


TEXTS = [
    "The path led across the moor, past the old mine.\nNobody had walked there since October.\n",
    "“I don’t believe it,” said the naïve clerk at the hall-door; the fire-\nside was cold.\n",
    "Behind him the Straße was empty.\nA ﬁsh lay on the plate, and no-one had touched it.\n",
    "She read the second letter twice before the lamp went out, and waited.\n",
    "Le cœur de l’homme s’était arrêté à la porte d’Orléans, rue Ｓａｉｎｔ-Denis 42.\n",
    "لم يكتب الطَّبِيبُ إلى المدرسة كتـــابًا في سنة ١٩٨٧.\n",
    "親譲りの無鉄砲で小供の時から損ばかりしている。\n",
    "Привет, Пётр! Ёлка стоит у окна с утра.\n",
]


@pytest.mark.parametrize(
    ("typed", "end"),
    [
        ("across the moor past the old mine", "old mine"),
        ("ACROSS THE MOOR, PAST THE OLD", "the old"),
        ("acros the moor past the old", "the old"),
        ('"I dont believe it" said the naive', "naïve"),
        ("i don't believe it said", "said"),
        ("clerk at the halldoor the fireside", "fire-\nside"),
        ("clerk at the hall door the fire side was", "was"),
        ("the strasse was empty a fish lay", "ﬁsh lay"),
        ("a \ufb01sh lay on the pla\u00adte", "the plate"),
        ("old mine nobody had walked there", "walked there"),
        ("touched it she read the second letter", "second letter"),
        ("she read the sec", "the second"),
        ("lamp", "lamp"),
        ("lam", "lamp"),
        ("le coeur de lhomme setait arrete", "arrêté"),
        ("d'orleans rue saint denis 42", "42"),
        ("الطبيب الى المدرسه كتابا في سنة 1987", "١٩٨٧"),
        ("لم يكتب الطبيب", "الطَّبِيبُ"),
        ("無鉄砲で小供の", "小供の"),
        ("無鉄砲て小供の", "小供の"),
        ("privet", None),
        ("петр елка стоит", "стоит"),
    ],
)
def test_words_are_found_as_people_type_them_and_the_place_is_their_end(
    shelf: Shelf, typed: str, end: str | None
) -> None:
    book = shelf.add(TEXTS)
    assert book.find(typed)[:1] == ([] if end is None else [book.text.index(end) + len(end)])


# Samples of real books


def wrong(chance: random.Random, typed: str, letters: str) -> str:
    """The words with another letter in the place of one."""
    place = chance.choice([index for index, each in enumerate(typed) if each.isalpha()])
    return typed[:place] + chance.choice(letters.replace(typed[place], "")) + typed[place + 1 :]


def ends_of(
    pattern: str, text: str, count: int, chance: random.Random, samples: int = FEW
) -> Iterator[tuple[str, int]]:
    """Runs of so many words from anywhere in a text, and where each ends."""
    found = list(re.finditer(pattern, text))
    for _ in range(samples):
        start = chance.randrange(len(found) - count)
        run = found[start : start + count]
        yield text[run[0].start() : run[-1].end()], run[-1].end()


def share(found: Sequence[bool]) -> float:
    return sum(found) / len(found)


WORD = r"[^\W_](?:\S*[^\W_])?"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pattern", "least"),
    [
        ("hound", WORD, 0.98),
        ("childrens-literature", WORD, 0.98),
        ("regime-anticancer-arabic", WORD, 0.95),
        ("kusamakura-japanese-vertical-writing", "[^\\W_a-zA-Z0-9]", 0.95),
    ],
)
def test_six_words_with_a_wrong_letter_are_in_the_first_five_finds(
    real: Callable[[str], Book], soak: Soak, name: str, pattern: str, least: float
) -> None:
    book, chance = real(name), random.Random(16)
    letters = "".join(sorted({each.lower() for each in book.text[:50_000] if each.isalpha()}))
    found, begun = [], time.perf_counter()
    for typed, end in ends_of(pattern, book.text, 6, chance, SAMPLES):
        found.append(book.has_found(wrong(chance, typed, letters), end))
    took = (time.perf_counter() - begun) / SAMPLES
    soak.tell(f"{name}: {share(found):.1%} of six words with a wrong letter found, {took * 1000:.1f} ms each")
    assert share(found) >= least


def cut_last_word(typed: str) -> str:
    return typed[: typed.rindex(" ") + 1 + max(2, (len(typed) - typed.rindex(" ")) // 2)]


def swap(typed: str) -> str:
    place = len(typed) // 2
    return typed[:place] + typed[place + 1] + typed[place] + typed[place + 2 :]


KINDS: dict[str, Callable[[str], str]] = {
    "as they are": str,
    "in capitals": str.upper,
    "in lower case without any signs": lambda typed: re.sub(r"[^\w\s]", "", typed.lower()),
    "with signs as spaces": lambda typed: re.sub(r"[^\w\s]", " ", typed),
    "with straight quotes": lambda typed: re.sub("[“”]", '"', re.sub("[‘’]", "'", typed)),
    "without spaces in places": lambda typed: typed.replace(" ", "", 1),
    "with a hyphen at the end of a line": lambda typed: re.sub(r"(\w{3})(\w{3})", "\\1-\n\\2", typed, count=1),
    "with a soft hyphen": lambda typed: re.sub(r"(\w{3})(\w{3})", "\\1\u00ad\\2", typed),
    "with ligatures": lambda typed: typed.replace("fi", "\ufb01").replace("fl", "\ufb02"),
    "with accents": lambda typed: typed.replace("e", "é").replace("o", "ö"),
    "in full width": lambda typed: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in typed),
    "without a letter": lambda typed: typed[: len(typed) // 2] + typed[len(typed) // 2 + 1 :],
    "with a letter twice": lambda typed: typed[: len(typed) // 2] + typed[len(typed) // 2 - 1 :],
    "with two letters changed over": swap,
    "with the last word only begun": cut_last_word,
    "with many spaces and line ends": lambda typed: " " + typed.replace(" ", "\n  ") + "  \n",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_six_words_typed_otherwise_are_found_too(real: Callable[[str], Book], kind: str) -> None:
    book, chance = real("hound"), random.Random(kind)
    found = [book.has_found(KINDS[kind](typed), end) for typed, end in ends_of(WORD, book.text, 6, chance)]
    assert share(found) >= 0.95


@pytest.mark.parametrize("border", ["paragraphs", "passages"])
def test_words_that_go_across_are_found_wherever_the_border_is(real: Callable[[str], Book], border: str) -> None:
    book, chance = real("hound"), random.Random(border)
    texts = book.texts if border == "passages" else book.text.splitlines(keepends=True)
    borders = [sum(map(len, texts[:index])) for index in range(1, len(texts))]
    found = []
    for place in chance.sample(borders, FEW):
        near = list(re.finditer(WORD, book.text[max(0, place - 200) : place + 200]))
        count = chance.randint(1, 5)
        before = [each for each in near if each.end() <= min(place, 200)][-count:]
        after = [each for each in near if each.start() >= min(place, 200)][: 6 - count]
        start, end = (max(0, place - 200) + each for each in (before[0].start(), after[-1].end()))
        found.append(book.has_found(wrong(chance, book.text[start:end], ascii_lowercase), end))
    assert share(found) >= 0.95


def test_two_words_give_what_they_can(real: Callable[[str], Book]) -> None:
    book, chance = real("hound"), random.Random(2)
    found = [book.has_found(typed, end) for typed, end in ends_of(WORD, book.text, 2, chance)]
    assert share(found) >= 0.6


@pytest.mark.slow
@pytest.mark.parametrize(("count", "least"), [(3, 0.75), (4, 0.9), (12, 0.98), (16, 0.98)])
def test_fewer_and_more_words_are_found_with_a_wrong_letter_too(
    real: Callable[[str], Book], count: int, least: float
) -> None:
    book, chance = real("hound"), random.Random(count)
    found = [
        book.has_found(wrong(chance, typed, ascii_lowercase), end)
        for typed, end in ends_of(WORD, book.text, count, chance, 2 * FEW)
    ]
    assert share(found) >= least


def test_words_of_another_book_are_seldom_found(real: Callable[[str], Book]) -> None:
    book, chance = real("hound"), random.Random(8)
    others = ends_of(WORD, real("childrens-literature").text, 8, chance)
    assert share([bool(book.find(typed)) for typed, _ in others]) < 0.1


# The finds


def test_of_a_text_longer_than_can_be_typed_the_end_counts(shelf: Shelf) -> None:
    book = shelf.add(TEXTS)
    end = book.text.index("plate") + len("plate")
    assert book.find(book.text[:end]) == [end]


def test_finds_at_nearly_the_same_place_are_one_and_others_come_in_the_order_of_the_book(shelf: Shelf) -> None:
    same = "The hound howled on the moor. "
    other = "Nothing was to be heard for a long time, and the lamp burned low. " * 8 + "\n"
    book = shelf.add([same * 3, other, same, other, other, same + other])
    length = len("The hound howled on the moor")
    starts = [0, book.text.index(other) + len(other), book.text.rindex(same)]
    assert book.find("the hound howled on the moor") == [start + length for start in starts]
    assert book.find("the hound howled on the moor", most=2) == [start + length for start in starts[:2]]


def test_beside_a_place_that_has_all_words_no_poor_one_is_told(shelf: Shelf) -> None:
    other = "Nothing was to be heard for a long time, and the lamp burned low. " * 8 + "\n"
    book = shelf.add(["The hound howled on the moor.\n", other, "The hand howled in the manor.\n", other])
    assert book.find("the hound howled on the moor") == [len("The hound howled on the moor")]


def test_of_words_that_are_everywhere_the_one_place_is_found_where_they_meet(shelf: Shelf) -> None:
    apart = ["The moor lay there.\n", "Nobody came.\n", "A lantern burned.\n", "Nothing stirred.\n"] * 300
    book = shelf.add([*apart, "Nobody came over the moor.\n", "Lantern in hand they went.\n", *apart])
    assert book.find("moor lantern")[0] == book.text.index("\nLantern") + len("\nLantern")


def test_a_removed_passage_is_not_found(shelf: Shelf) -> None:
    book = shelf.add(TEXTS)
    with shelf.write() as connection:
        for number, text in enumerate(TEXTS, book.first):
            words.remove(connection, book.first, number, text)
    assert book.find("across the moor past the old mine") == []
    assert vocabulary(shelf) == {}


def vocabulary(shelf: Shelf) -> dict[str, int]:
    """The terms in the index, and how many passages have each."""
    with shelf.write() as connection:
        connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, words, row)")
        return dict(connection.execute("SELECT term, doc FROM temp.vocabulary").fetchall())


def test_a_term_in_the_index_belongs_to_one_book(shelf: Shelf) -> None:
    books = [shelf.add(TEXTS) for _ in range(20)]
    known = vocabulary(shelf)
    starts = [f"{book.first:x}·" for book in books]
    assert {term.partition("·")[0] + "·" for term in known} == set(starts)
    assert len({sum(each for term, each in known.items() if term.startswith(start)) for start in starts}) == 1


def test_an_index_that_tells_of_passages_that_are_gone_does_no_harm(shelf: Shelf) -> None:
    book = shelf.add(TEXTS)
    with shelf.write() as connection:
        connection.execute("DELETE FROM passages WHERE id = ?", (book.first,))
    assert book.find("across the moor past the old mine") == []
    assert book.find("she read the second letter") != []


def test_words_of_one_book_are_not_found_in_another(shelf: Shelf) -> None:
    other, own = shelf.add(TEXTS), shelf.add(["Nothing of all that is told in this one.\n"])
    assert own.find("across the moor past the old mine") == []
    assert other.find("across the moor past the old mine") != []


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Book]]:
    """A book, and the same as it would be if it ended with each of its passages."""
    texts = [*TEXTS, *reversed(TEXTS)]
    with closing(Shelf(tmp_path_factory.mktemp("cuts") / "books.sqlite")) as shelf:
        yield [shelf.add(texts), *(shelf.add(texts[: last + 1]) for last in range(len(texts)))]


@given(last=st.integers(0, 2 * len(TEXTS) - 1), typed=st.text(max_size=30) | st.sampled_from([*TEXTS, "the moor"]))
def test_what_comes_after_the_last_passage_changes_nothing(cuts: list[Book], last: int, typed: str) -> None:
    whole, cut = cuts[0], cuts[last + 1]
    found = words.find(whole.shelf, whole.first, whole.first + last, typed)
    assert found == cut.find(typed)
    assert all(0 < place <= len(cut.text) for place in found)


# What it costs

HOSTILE = [
    "",
    "   ",
    "“…”!",
    '"',
    "AND",
    '* OR NEAR("moor"',
    "terms: moor",
    "\0",
    "the_moor",
    "__init__.py",
    "\ud800",
    "\ufdfa" * 200,
    "a" * 100_000,
    "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 10,
    "moor " * 1000,
    "海" * 1000,
    "".join(map(chr, range(0x4E00, 0x4E00 + 200))),
    "\u0301" * 200,
    "-'" * 100 + "a",
]


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Book]]:
    """Books that are hard to find words in: a long one in which common words are in each passage, one word again
    and again, one letter again and again.
    """
    chance = random.Random(18)
    rare = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(3, 9))) for _ in range(20_000)]
    common = [*"abcdefghijklmnopqrstuvwxyz", "the", "and", "moor", "海"]
    text = " ".join(chance.choice(common) if chance.random() < 0.7 else chance.choice(rare) for _ in range(510_000))
    assert len(text) > 1_800_000
    with closing(Shelf(tmp_path_factory.mktemp("heavy") / "books.sqlite")) as shelf:
        yield [
            shelf.add([each[at : at + size] for at in range(0, len(each), size)])
            for each, size in ((text, 500), ("moor " * 300_000, 250), ("a" * 500_000, 500))
        ]


def test_whatever_is_typed_few_rows_are_read(heavy: list[Book]) -> None:
    for book in heavy:
        for typed in (*HOSTILE, book.text[5000:5200], " ".join(book.text.split()[::-1][:100])):
            book.shelf.rows = 0
            places = book.find(typed)
            assert len(places) <= 5 and all(0 < place <= len(book.text) for place in places)
            assert book.shelf.rows <= (len(TypedWords(typed).terms) + 1) * 5000 + 400
            assert len(places) == len(set(places))


def test_the_dearest_words_cost_less_than_to_look_through_a_long_book_once(heavy: list[Book]) -> None:
    letters = "the and moor " + " ".join(ascii_lowercase)
    dearest = [letters, *(book.text[:100] + letters for book in heavy[1:])]

    def measure() -> tuple[float, float]:
        begun = time.perf_counter()
        for text in heavy[0].texts:
            passage_terms(text)
        between = time.perf_counter()
        for book, typed in zip(heavy, dearest, strict=True):
            book.find(typed)
        return between - begun, time.perf_counter() - between

    assert_usual_ratio(0.75, measure, of="to find the dearest words of three books")


@pytest.mark.slow
def test_a_search_in_one_of_many_books_costs_what_it_costs_alone(tmp_path: Path) -> None:
    chance = random.Random(500)
    vocabulary = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(3000)]
    weights = [1 / number for number in range(1, 3001)]

    def write() -> list[str]:
        return [" ".join(chance.choices(vocabulary, weights, k=80)) + "\n" for _ in range(60)]

    with closing(Shelf(tmp_path / "one.sqlite")) as one, closing(Shelf(tmp_path / "many.sqlite")) as many:
        texts = write()
        alone = one.add(texts)
        for _ in range(60):
            many.add(write())
        among = many.add(texts)
        for _ in range(60):
            many.add(write())
        runs = [typed for typed, _ in ends_of(WORD, alone.text, 6, chance)][:40]

        def measure() -> tuple[float, float]:
            begun = time.perf_counter()
            found = [alone.find(typed) for typed in runs]
            between = time.perf_counter()
            assert [among.find(typed) for typed in runs] == found, "other books change nothing of the order"
            return between - begun, time.perf_counter() - between

        assert_usual_ratio(1.3, measure, of="a search among 121 books")


def test_the_index_of_a_book_is_smaller_than_its_text(
    real: Callable[[str], Book], soak: Soak, tmp_path: Path
) -> None:
    texts = real("hound").texts
    with closing(Shelf(tmp_path / "books.sqlite")) as shelf:
        shelf.add(texts)
        sizes = shelf.read(
            "SELECT sum(length(block)) FROM words_data UNION ALL SELECT sum(length(text)) FROM passages"
        )
    index, text = (int(row[0]) for row in sizes)
    soak.tell(f"hound: an index of {index} bytes for {text} characters")
    assert index < text / 2
