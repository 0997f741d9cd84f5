"""EPUB files, real ones and those of a builder, to text and chapters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unicodedata import normalize

import pytest
from conftest import ROOT
from fakes import epub_file
from fakes.epub_file import Chapters, document, make_epub, members, nav, ncx, pack, package
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.epub.book import Book, Chapter, Passage
from kindle_appliance.epub.reading import read


def read_all(path: Path) -> tuple[Book, str]:
    """The book and its text, which is checked to be the passages without a gap."""
    passages: list[Passage] = []
    book = read(path, passages.append)
    assert [each.start for each in passages] == [0, *(each.end for each in passages[:-1])]
    assert passages[-1].end == book.length
    assert all(0 < len(each.text) <= 500 for each in passages)
    assert book.title
    assert [each.start for each in book.chapters] == sorted(each.start for each in book.chapters)
    assert all(0 <= each.start <= book.length for each in book.chapters)
    return book, "".join(each.text for each in passages)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.epub"


def with_parts(path: Path, changes: Mapping[str, bytes | None]) -> tuple[Book, str]:
    """The builder's book with these members in place of its own, or without them."""
    parts: dict[str, bytes | None] = {**members(), **changes}
    return read_all(pack(path, {name: data for name, data in parts.items() if data is not None}))


def titles(book: Book) -> list[str]:
    return [each.title for each in book.chapters]


# Real books


def test_every_real_book_is_read_and_twice_the_same(shared: Path) -> None:
    found = sorted((shared / "books").glob("*.epub"))
    assert len(found) >= 7
    for each in found:
        book, text = read_all(each)
        assert not book.faults, each.name
        assert book.chapters, each.name
        assert (book, text) == read_all(each)


@pytest.mark.parametrize(
    ("number", "title", "per_mille"),
    [
        (5, "Three Broken Threads", 228),
        (6, "Baskerville Hall", 285),
        (7, "The Stapletons of Merripit House", 344),
        (8, "First Report of Dr. Watson", 426),
    ],
)
def test_chapters_of_a_novel_begin_where_a_kindle_says(
    shared: Path, number: int, title: str, per_mille: int
) -> None:
    book, text = read_all(shared / "books" / "hound.epub")
    assert 320_000 < book.length < 321_000
    (chapter,) = [each for each in book.chapters if each.number == number]
    assert chapter.title == title
    assert round(1000 * chapter.start / book.length) == per_mille
    assert text[chapter.start :].split("\n")[1] == title


def test_the_chapters_of_a_novel_have_the_numbers_that_it_gives_them(shared: Path) -> None:
    book, _ = read_all(shared / "books" / "hound.epub")
    assert (book.title, book.creator, book.language) == (
        *("The Hound of the Baskervilles", "Arthur Conan Doyle"),
        "en",
    )
    assert [each.number for each in book.chapters if each.number] == list(range(1, 16))
    unnumbered = [each.title for each in book.chapters if not each.number]
    assert unnumbered == [
        *("Titlepage", "Imprint", "Dedication", "The Hound of the Baskervilles", "Colophon", "Uncopyright"),
    ]


def test_a_japanese_book_has_no_readings_of_its_characters(shared: Path) -> None:
    book, text = read_all(shared / "books" / "kusamakura-japanese-vertical-writing.epub")
    assert (book.title, book.creator, book.language, book.direction) == ("草枕", "夏目 漱石", "ja", "ltr")
    assert [each.number for each in book.chapters] == [*range(1, 14), 0]
    assert "山路を登りながら、こう考えた。" in text
    assert "鏡が池" in text


def test_an_arabic_book_runs_from_right_to_left(shared: Path) -> None:
    book, _ = read_all(shared / "books" / "regime-anticancer-arabic.epub")
    assert (book.language, book.direction) == ("ar", "rtl")
    assert book.creator == "Pr David Khayat, Nathalie Hutter-Lardeau", "the authors, without the translator"


def test_verse_has_its_lines_and_a_table_of_contents_its_levels(shared: Path) -> None:
    _, text = read_all(shared / "books" / "wasteland.epub")
    assert "\nLilacs out of the dead land, mixing\nMemory and desire, stirring\n" in text
    book, _ = read_all(shared / "books" / "childrens-literature.epub")
    assert {each.level for each in book.chapters} == {0, 1, 2, 3}
    assert (192, "THE REAL PRINCESS") in [(each.number, each.title) for each in book.chapters]


def test_a_book_takes_little_memory_while_it_is_read(shared: Path) -> None:
    """With all modules and libraries that are loaded for it, at its peak."""
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from kindle_appliance import appliance\n"
        "def kib(line):\n"
        "    return int(re.search(rf'{line}:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = kib('VmRSS')\n"
        "from kindle_appliance.epub.reading import read\n"
        "assert 'defusedxml' not in sys.modules\n"
        "read(Path(sys.argv[1]), lambda passage: None)\n"
        "print(kib('VmHWM') - before)\n"
    )
    command = [sys.executable, "-c", code, str(shared / "books" / "hound.epub")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert 0 < int(done.stdout) <= 8192, "KiB"


# A builder's books


TEXTS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)
CHAPTERS = st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=5)), min_size=1, max_size=6)


@given(CHAPTERS, TEXTS, TEXTS)
def test_a_book_is_its_lines_and_its_chapters_in_reading_order(
    tmp_path_factory: pytest.TempPathFactory, chapters: Chapters, title: str, creator: str
) -> None:
    path = tmp_path_factory.mktemp("books") / "book.epub"
    book, text = read_all(make_epub(path, title=title, chapters=chapters, creator=creator))
    expected = [line for name, paragraphs in chapters for line in (name, *paragraphs)]
    assert text == "".join(f"{line}\n" for line in expected)
    assert (book.title, book.creator, book.faults) == (title, creator, ())
    starts = [sum(len(line) + 1 for line in expected[:at]) for at in _heads(chapters)]
    assert [each.start for each in book.chapters] == starts


def _heads(chapters: Chapters) -> list[int]:
    heads = [0]
    for _, paragraphs in chapters[:-1]:
        heads.append(heads[-1] + 1 + len(paragraphs))
    return heads


def test_the_builders_own_book_has_numbered_chapters(path: Path) -> None:
    book, text = read_all(make_epub(path))
    assert (book.title, book.creator, book.language, book.direction) == ("A Book", "A Writer", "en", "ltr")
    assert [(each.number, each.title, text[each.start :].partition("\n")[0]) for each in book.chapters] == [
        (1, "A Beginning", "Chapter 1: A Beginning"),
        (2, "A Middle", "Chapter 2: A Middle"),
        (3, "An End", "Chapter 3: An End"),
    ]


# Tables of contents


def test_the_nav_of_epub_3_comes_before_the_ncx_of_epub_2_and_headings_come_last(path: Path) -> None:
    entries = [("1.xhtml", "Apples"), ("2.xhtml", "Pears")]
    assert titles(with_parts(path, {"OPS/nav.xhtml": nav(entries)})[0]) == ["Apples", "Pears"]
    without_nav = {"OPS/nav.xhtml": None, "OPS/toc.ncx": ncx(entries)}
    assert titles(with_parts(path, without_nav)[0]) == ["Apples", "Pears"]
    for nothing in (None, b"", ncx([]), ncx([("x.xhtml", "Gone")]), b"<ncx><navMap>"):
        book, _ = with_parts(path, {"OPS/nav.xhtml": nav([]), "OPS/toc.ncx": nothing})
        assert [(each.number, each.title) for each in book.chapters] == [
            *((1, "A Beginning"), (2, "A Middle"), (3, "An End")),
        ]


def test_the_ncx_is_found_although_the_spine_names_one_that_is_missing(path: Path) -> None:
    other = "<item id='n' href='gone.ncx' media-type='application/x-dtbncx+xml'/>"
    opf = package(["1.xhtml", "2.xhtml"], "", manifest=other).replace(b'toc="ncx"', b'toc=" n "')
    opf = opf.replace(b'"d0"', b'" d0 "', 1).replace(b'idref="d1"', b'idref="\n d1 "')
    table = {"OPS/nav.xhtml": None, "OPS/toc.ncx": ncx([("1.xhtml", "Apples"), ("2.xhtml", "Pears")])}
    book, _ = with_parts(path, {"OPS/package.opf": opf, **table})
    assert (titles(book), book.faults) == (["Apples", "Pears"], ())


def test_a_reading_that_is_not_closed_hides_one_name_only(path: Path) -> None:
    entries = [("1.xhtml", "草枕"), ("2.xhtml", "Pears")]
    table = nav(entries).replace("草枕".encode(), "<ruby>草枕<rt>x".encode())
    assert titles(with_parts(path, {"OPS/nav.xhtml": table})[0]) == ["草枕", "Pears"]


def test_entries_lead_to_fragments_and_stand_in_reading_order(path: Path) -> None:
    body = "<p>Before.</p><p id=''>Nothing.</p><h2 id='a b'>Apple</h2><p>Red.</p><p>A <a id='ü'/>pear.</p>"
    entries = [
        ("2.xhtml", "Last"),
        ("./../OPS/1.xhtml#a%20b", "Apple"),
        ("1.xhtml#%C3%BC", "Pear"),
        ("1.xhtml#gone", "Lost"),
        ("1.xhtml", "All"),
        ("gone.xhtml", "Gone"),
        ("http://example.com/", "Elsewhere"),
        ("toc.ncx", "Itself"),
        ("../../../etc/passwd", "Outside"),
        ("#x", "Here"),
    ]
    for name in ("nav.xhtml", "toc.ncx"):
        table = nav(entries) if name == "nav.xhtml" else ncx(entries)
        other = "toc.ncx" if name == "nav.xhtml" else "nav.xhtml"
        parts = {f"OPS/{name}": table, f"OPS/{other}": None, "OPS/1.xhtml": document(body)}
        book, text = with_parts(path, parts)
        assert [(each.title, text[each.start :][:6].strip()) for each in book.chapters] == [
            *(("Lost", "Before"), ("All", "Before"), ("Apple", "Apple"), ("Pear", "pear."), ("Last", "Chapte")),
        ]


def test_levels_are_those_of_the_lists_and_a_line_without_address_begins_with_what_is_in_it(path: Path) -> None:
    toc = document(
        "<nav epub:type='landmarks'><ol><li><a epub:type='bodymatter' href='2.xhtml'>Start</a></li></ol></nav>"
        "<nav epub:type='page-list'><ol><li><a href='1.xhtml'>1</a></li></ol></nav>"
        "<nav epub:type='toc' hidden=''><h1>Contents</h1><ol>"
        "<li><a href='1.xhtml'>To <i>the</i><br/> Reader</a></li>"
        "<li><span>Part  <b>One</b></span><ol hidden='hidden'>"
        "<li><a href='2.xhtml'>A &amp; <ruby>B<rt>x</rt></ruby></a>"
        "<ol><li><a href='2.xhtml'>In it</a></li></ol></li>"
        "<li><a href='3.xhtml'><img alt='C' src='c'/></a></li>"
        "</ol></li><li><span>Nothing</span></li><li><a href='3.xhtml'></a></li></ol></nav>"
    )
    book, _ = with_parts(path, {"OPS/nav.xhtml": toc})
    assert [(each.number, each.title, each.level) for each in book.chapters] == [
        *((0, "To the Reader", 0), (0, "Part One", 0), (0, "A & B", 1), (1, "In it", 2), (2, "C", 1)),
    ]
    assert book.chapters[1].start == book.chapters[2].start > 0


def test_an_ncx_has_its_levels_and_order(path: Path) -> None:
    point = "<navPoint playOrder='1'><navLabel><text>{}</text></navLabel><content src='{}'/>{}</navPoint>"
    inner = point.format("1. Within", "2.xhtml", "") + point.format("2. Inside", "3.xhtml", "")
    table = f"<ncx><docTitle><text>X</text></docTitle><navMap>{point.format('Part I', '1.xhtml', inner)}</navMap>"
    table += (
        "<pageList><pageTarget><navLabel><text>7</text></navLabel><content src='2.xhtml'/></pageTarget></pageList>"
    )
    book, _ = with_parts(path, {"OPS/nav.xhtml": None, "OPS/toc.ncx": f"{table}</ncx>".encode()})
    assert [(each.number, each.title, each.level) for each in book.chapters] == [
        *((0, "Part I", 0), (1, "Within", 1), (2, "Inside", 1)),
    ]


def test_the_longest_tables_and_names_are_cut(path: Path) -> None:
    entries = [(f"{number % 3 + 1}.xhtml?{number**9}", f"A Name {'x' * 1000}") for number in range(3000)]
    for table in ({"OPS/nav.xhtml": nav(entries)}, {"OPS/nav.xhtml": None, "OPS/toc.ncx": ncx(entries)}):
        book, _ = with_parts(path, table)
        assert len(book.chapters) == 2000
        assert {len(each.title) for each in book.chapters} == {200}
    headings = document("<h1>Word</h1>" * 3000)
    book, _ = with_parts(path, {"OPS/nav.xhtml": None, "OPS/toc.ncx": None, "OPS/1.xhtml": headings})
    assert len(book.chapters) == 2000


def test_what_stands_before_the_beginning_of_the_text_is_not_counted(path: Path) -> None:
    chapters = [("One Thing", ["a"]), ("Another", ["b"]), ("A Third", ["c"])]
    entries = [(f"{number}.xhtml", name) for number, (name, _) in enumerate(chapters, 1)]
    guide = "<guide><reference type='text' href='2.xhtml#x'/></guide></package>"
    parts = members(chapters=chapters)
    parts["OPS/package.opf"] = parts["OPS/package.opf"].replace(b"</package>", guide.encode())
    parts["OPS/nav.xhtml"] = nav(entries)
    assert [each.number for each in read_all(pack(path, parts))[0].chapters] == [0, 1, 2]
    parts["OPS/3.xhtml"] = document("<section epub:type='backmatter afterword'><h1>A Third</h1></section>")
    assert [each.number for each in read_all(pack(path, parts))[0].chapters] == [0, 1, 0]


def test_front_matter_in_a_book_of_one_document_does_not_make_all_of_it_matter(path: Path) -> None:
    body = "<section epub:type='frontmatter'><h2 id='t'>A Page</h2></section>"
    chapters = "<h2 id='a'>Loomings</h2><p>x</p><h2 id='b'>The Bag</h2>"
    table = nav([("1.xhtml#t", "A Page"), ("1.xhtml#a", "Loomings"), ("1.xhtml#b", "The Bag")])
    for kind in ("bodymatter", "chapter"):
        page = document(f"{body}<div epub:type='{kind}'>{chapters}</div>")
        book, _ = with_parts(path, {"OPS/1.xhtml": page, "OPS/nav.xhtml": table})
        assert [each.number for each in book.chapters] == [1, 2, 3], kind
    book, _ = with_parts(path, {"OPS/1.xhtml": document(body + chapters), "OPS/nav.xhtml": table})
    assert [each.number for each in book.chapters] == [0, 0, 0]


# What a file says of itself


ABOUT = "<dc:title>{}</dc:title><dc:language>{}</dc:language>"


MAIN = "<meta refines='#x' property='title-type'>main</meta>"
ROLE = "<meta refines='#x' property='role'>aut</meta>"
AUTHOR = "<dc:creator opf:role='aut' xmlns:opf='o'>"


@pytest.mark.parametrize(
    ("metadata", "title", "creator"),
    [
        ("<dc:title>\n A \t Title\u202e\x85 </dc:title>", "A Title", ""),
        ("<dc:title/><dc:title>A &amp; B</dc:title><dc:title>C</dc:title>", "A & B", ""),
        (f"<dc:title>A</dc:title><dc:title id='x'>B</dc:title>{MAIN}", "B", ""),
        ("<dc:creator>A B</dc:creator><dc:creator>C</dc:creator><dc:creator>C</dc:creator>", "Chapter 1", "A B, C"),
        (f"<dc:creator>A</dc:creator>{AUTHOR}B</dc:creator>{AUTHOR}C</dc:creator>", "Chapter 1", "B, C"),
        (f"<dc:creator id='x'>A</dc:creator><dc:creator>B</dc:creator>{ROLE}", "Chapter 1", "A"),
        ("<dc-metadata><dc:Title>Old</dc:Title><dc:Creator>One</dc:Creator></dc-metadata>", "Old", "One"),
        (f"<dc:title>{'x' * 900}</dc:title>", "x" * 299 + "…", ""),
        ("".join(f"<dc:creator>{str(n) * 150}</dc:creator>" for n in range(9)), "Chapter 1", None),
    ],
)
def test_title_and_creators_are_those_of_the_metadata(
    path: Path, metadata: str, title: str, creator: str | None
) -> None:
    book, _ = with_parts(path, {"OPS/package.opf": package(["1.xhtml"], metadata)})
    assert book.title.startswith(title)
    if creator is None:
        assert len(book.creator) == 300
    else:
        assert book.creator == creator


def test_a_book_without_a_title_has_its_first_heading_or_line_as_one(path: Path) -> None:
    opf = {"OPS/package.opf": package(["1.xhtml"], "")}
    assert with_parts(path, opf)[0].title == "Chapter 1: A Beginning"
    line = "It was a dark and stormy night; the rain fell in torrents, except at times"
    book, _ = with_parts(path, {**opf, "OPS/1.xhtml": document(f"<p>{line}</p>")})
    assert book.title == "It was a dark and stormy night; the rain fell in torrents,…"


ENGLISH = "It was the best of times, it was the worst of times, and there was nothing that we had not."
ARABIC = "كان يا ما كان في قديم الزمان"


@pytest.mark.parametrize(
    ("told", "text", "language", "direction"),
    [
        *(("en-US", ENGLISH, "en", "ltr"), ("EN_gb", ENGLISH, "en", "ltr"), ("eng", ENGLISH, "en", "ltr")),
        *(("zh-Hant-TW", "這是", "zh", "ltr"), ("jpn", "これは", "ja", "ltr"), ("grc", "ἄνδρα", "grc", "ltr")),
        *(("ar", ARABIC, "ar", "rtl"), ("he-IL", "שלום", "he", "rtl"), ("fas", "سلام", "fa", "rtl")),
        *(("ur", "سلام", "ur", "rtl"), ("", ENGLISH, "en", "ltr"), ("und", ENGLISH, "en", "ltr")),
        *(("en", ARABIC, "en", "rtl"), ("en", f"שלום {ENGLISH}", "en", "ltr"), ("ar", ENGLISH, "ar", "rtl")),
        *(("English", ENGLISH, "en", "ltr"), ("", ARABIC, "", "rtl"), ("", "これはほんです。", "ja", "ltr")),
    ],
)
def test_language_and_direction_are_told_or_seen(
    path: Path, told: str, text: str, language: str, direction: str
) -> None:
    opf = package(["1.xhtml"], ABOUT.format("A", told)).replace(
        b"<spine", b"<spine page-progression-direction='rtl'"
    )
    book, _ = with_parts(path, {"OPS/package.opf": opf, "OPS/1.xhtml": document(f"<p>{text}</p>")})
    assert (book.language, book.direction) == (language, direction)


def test_a_document_may_say_that_it_runs_from_right_to_left(path: Path) -> None:
    page = document("<p>سڵاو</p>").replace(b"<body>", b"<body dir='RTL'>")
    opf = package(["1.xhtml"], ABOUT.format("A", "ku"))
    book, _ = with_parts(path, {"OPS/package.opf": opf, "OPS/1.xhtml": page})
    assert (book.language, book.direction) == ("ku", "rtl")
    one = members()["OPS/3.xhtml"].replace(b"<body>", b"<body dir='rtl'>")
    assert with_parts(path, {"OPS/3.xhtml": one})[0].direction == "ltr"
    pages = {
        f"OPS/{number}.xhtml": document("<p>12</p>").replace(b"<body>", b"<body dir='rtl'>") for number in (1, 2)
    }
    for told, direction in (("", "rtl"), ("en", "ltr")):
        opf = package(["1.xhtml", "2.xhtml"], ABOUT.format("A", told))
        assert with_parts(path, {"OPS/package.opf": opf, **pages})[0].direction == direction


# Odd and malformed files that can be read


def test_a_book_is_found_where_its_container_is_wrong_or_missing(path: Path) -> None:
    plain = with_parts(path, {})[1]
    two = epub_file.CONTAINER.replace("<rootfile ", "<rootfile full-path='gone.opf'/><rootfile ").encode()
    encoded = epub_file.CONTAINER.replace("package.opf", "%70ackage.opf").encode()
    for container in (None, b"", b"<container>", b"\xff\xfe\0", two, encoded, b"<rootfile full-path='gone.opf'/>"):
        assert with_parts(path, {"META-INF/container.xml": container})[1] == plain
    folder = {f"A Book/{name}": data for name, data in members().items()}
    assert read_all(pack(path, {**folder, "__MACOSX/._package.opf": b"\0\5\26\7"}))[1] == plain


@pytest.mark.parametrize("mimetype", [None, b"application/zip", b""])
def test_the_media_type_of_the_file_does_not_matter(path: Path, mimetype: bytes | None) -> None:
    assert with_parts(path, {"mimetype": mimetype})[0].title == "A Book"


def test_a_package_document_that_is_no_xml_is_read_as_far_as_it_goes(path: Path) -> None:
    opf = members()["OPS/package.opf"]
    broken = (
        opf.replace(b"A Book", b"A Book & More &nbsp; <"),
        opf.replace(b"</package>", b""),
        opf.replace(b"</metadata>", b""),
        opf.replace(b"<spine", b"<item id='x' id='x' href=y><spine"),
        opf.replace(b'encoding="utf-8"', b'encoding="no-such-code"'),
        opf.decode().encode("utf-16"),
        opf.replace(b"utf-8", b"utf-16").decode().encode("utf-16"),
        b"\n\n" + opf,
        opf.replace(b"<package", b"<!DOCTYPE package [<!ENTITY a 'b'>]><package"),
    )
    for each in broken:
        book, text = with_parts(path, {"OPS/package.opf": each})
        assert book.title.startswith("A Book")
        assert text.endswith("They had tea.\n")


@pytest.mark.parametrize(
    ("href", "member"),
    [
        ("a%20b.xhtml", "OPS/a b.xhtml"),
        ("a b.xhtml", "OPS/a%20b.xhtml"),
        ("A.XHTML", "OPS/a.xhtml"),
        ("x/../a.xhtml", "OPS/a.xhtml"),
        ("../a.xhtml", "a.xhtml"),
        ("../../../OPS/a.xhtml", "OPS/a.xhtml"),
        ("/OPS/a.xhtml", "OPS/a.xhtml"),
        ("Text\\a.xhtml", "OPS/Text/a.xhtml"),
        ("Text/a.xhtml", "OPS\\Text\\a.xhtml"),
        ("a.xhtml?x=1#y", "OPS/a.xhtml"),
        (normalize("NFC", "é.xhtml"), normalize("NFD", "OPS/é.xhtml")),
        ("%E4%B8%80.xhtml", "OPS/一.xhtml"),
    ],
)
def test_documents_are_found_by_addresses_that_are_nearly_right(path: Path, href: str, member: str) -> None:
    parts = {"OPS/package.opf": package([href], ""), member: document("<p>Found.</p>")}
    book, text = with_parts(path, {"OPS/1.xhtml": None, **parts})
    assert (text, book.faults) == ("Found.\n", ())


def test_names_in_utf_8_are_found_although_the_file_does_not_say_that_they_are(path: Path) -> None:
    parts = {"OPS/第一章 é.xhtml": document("<p>Found.</p>"), "OPS/package.opf": package(["第一章 é.xhtml"], "")}
    with_parts(path, {"OPS/1.xhtml": None, **parts})
    data = bytearray(path.read_bytes())
    for sign, offset in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        at = data.find(sign)
        while at >= 0:
            data[at + offset] &= ~8
            at = data.find(sign, at + 4)
    path.write_bytes(data)
    assert read_all(path)[1] == "Found.\n"


def test_parts_that_are_missing_or_no_text_are_counted(path: Path) -> None:
    spine = "<itemref idref='d0'/><itemref idref='d1'/><itemref idref='none'/><itemref idref='d2' linear='no'/>"
    opf = package(["1.xhtml", "gone.xhtml", "2.xhtml"], "", spine=spine)
    book, text = with_parts(path, {"OPS/package.opf": opf, "OPS/2.xhtml": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 100})
    assert text.startswith("Chapter 1")
    assert [str(fault) for fault in book.faults] == ["3 parts of this book could not be read."]


def test_a_document_that_the_spine_lists_twice_is_read_once(path: Path) -> None:
    opf = package(["1.xhtml"], "", spine="<itemref idref='d0'/>" * 1000)
    assert with_parts(path, {"OPS/package.opf": opf})[1].count("It rained.") == 1


def test_what_is_no_text_is_read_by_its_fallback(path: Path) -> None:
    manifest = (
        "<item id='p' href='p.pdf' media-type='application/pdf' fallback='q'/>"
        "<item id='q' href='q.png' media-type='image/png' fallback='d0'/>"
        "<item id='r' href='r.json' media-type='application/json' fallback='s'/>"
        "<item id='s' href='s.jpg' media-type='image/jpeg' fallback='r'/>"
        "<item id='t' href='t.svg' media-type='image/svg+xml'/><item id='u' href='u.html' media-type='text/plain'/>"
        "<item id='v' href='v.xml' media-type='application/x-quiz' fallback='w'/>"
        "<item id='w' href='w.xhtml' media-type='application/xhtml+xml'/>"
    )
    spine = "".join(f"<itemref idref='{each}'/>" for each in "prstuv")
    opf = package(["1.xhtml"], "", manifest=manifest, spine=spine)
    others = {
        "OPS/t.svg": b"<svg><text>Drawn.</text></svg>",
        "OPS/u.html": b"<p>Plain.",
        "OPS/v.xml": b"<q>Quiz</q>",
    }
    others["OPS/w.xhtml"] = b"<p>A question."
    book, text = with_parts(path, {"OPS/package.opf": opf, **others})
    assert text.splitlines()[2:] == ["Nobody came to the house that day.", "Drawn.", "Plain.", "A question."]
    assert not book.faults, "a picture is not missing"


def test_a_book_of_pictures_has_the_names_of_its_pages_and_says_so(path: Path) -> None:
    pages = {f"OPS/{n}.xhtml": document("<img src='x.png' alt=''/>", title=f"Page {n}") for n in (1, 2, 3)}
    book, text = with_parts(path, pages)
    assert text == "Page 1\nPage 2\nPage 3\n"
    assert [str(each) for each in book.faults] == [
        "This book is made of pictures. Only the names of its pages could be read.",
    ]
    assert [each.start for each in book.chapters] == [0, 7, 14]


PAGE = "<html><head><meta charset='{0}'/></head><body><p>Ça va? – Ñandú</p></body></html>"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        *((PAGE.format(name).encode(name), "Ça va? – Ñandú\n") for name in ("utf-8", "windows-1252", "utf-16")),
        (PAGE.format("utf-8").encode("utf-8-sig"), "Ça va? – Ñandú\n"),
        (PAGE.format("utf-8").encode("cp1252"), "Ça va? – Ñandú\n"),
        (PAGE.format("iso-8859-1").encode("cp1252"), "Ça va? – Ñandú\n"),
        (PAGE.format("rot13").encode(), "Ça va? – Ñandú\n"),
        (PAGE.format("x").encode("utf-16-le"), "Ça va? – Ñandú\n"),
        ("<?xml version='1.0' encoding='UTF-16BE'?><p>Ça</p>".encode("utf-16-be"), "Ça\n"),
        ("<?xml version='1.0' encoding='Shift_JIS'?><p>草枕①</p>".encode("cp932"), "草枕①\n"),
        ("<meta http-equiv=a content='text/html; charset=gb2312'><p>草枕镕</p>".encode("gbk"), "草枕镕\n"),
        ("<?xml version='1.0' encoding=\"koi8-r\"?><p>Дом</p>".encode("koi8-r"), "Дом\n"),
        ("<p>字字".encode() + b"\xff</p>", "字字\ufffd\n"),
        (PAGE.format("iso-8859-1").encode(), "Ça va? – Ñandú\n"),
        ("<?xml version='1.0' encoding='windows-1251'?><p>Дом</p>".encode(), "Дом\n"),
        ("<?xml version='1.0' encoding='windows-1251'?><p>Дом</p>".encode("cp1251"), "Дом\n"),
        *((f"<p>{'x' * size}é – ü</p>".encode("cp1252"), f"{'x' * size}é – ü\n") for size in range(16_376, 16_386)),
        *((f"{'x' * size}é".encode(), f"{'x' * size}é\n") for size in range(16_380, 16_386)),
    ],
)  # fmt: skip
def test_documents_are_read_in_the_encoding_that_they_have(path: Path, page: bytes, text: str) -> None:
    opf = package(["1.xhtml"], "")
    assert with_parts(path, {"OPS/package.opf": opf, "OPS/1.xhtml": page})[1] == text


def test_a_character_between_two_pieces_of_a_file_is_whole(path: Path) -> None:
    opf = {"OPS/package.opf": package(["1.xhtml"], "")}
    for spaces in range(8):  # the pieces have 16 KB
        page = document(f"<p>{'x' * (16_000 + spaces)}{'字' * 200}</p>").replace(b"<body>", b"<body>" + b" " * 100)
        assert with_parts(path, {**opf, "OPS/1.xhtml": page})[1] == f"{'x' * (16_000 + spaces)}{'字' * 200}\n"
        page = b"<p>" + b"x" * (16384 - 3 - spaces) + "—".encode() + b"y</p>"
        assert with_parts(path, {**opf, "OPS/1.xhtml": page})[1].endswith("x—y\n")
    words = "字é &amp; " * 20_000
    _, text = with_parts(path, {"OPS/package.opf": package(["1.xhtml"], ""), "OPS/1.xhtml": document(words)})
    assert text == ("字é & " * 20_000).rstrip() + "\n"


def test_entries_that_are_alike_keep_their_order(path: Path) -> None:
    book, _ = with_parts(path, {"OPS/nav.xhtml": nav([("1.xhtml", each) for each in ("Part One", "B", "A", "C")])})
    assert book.chapters[0] == Chapter(0, 0, "Part One", 0)
    assert titles(book) == ["Part One", "B", "A", "C"]
