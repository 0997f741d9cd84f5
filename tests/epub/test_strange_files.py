"""Files that are no book, that are locked or damaged, or that are meant to harm: each with its sentence and at a
bounded cost. Nothing else than a book or `Unreadable` comes of any file.
"""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import ROOT, Soak
from fakes.epub_file import CONTAINER, document, make_epub, members, nav, pack, package
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.epub import archive as archive_module
from kindle_appliance.epub import unreadable
from kindle_appliance.epub.archive import MOST_DIRECTORY, MOST_MEMBERS
from kindle_appliance.epub.reading import read
from kindle_appliance.epub.unreadable import Unreadable
from kindle_appliance.sentences import CHINESE, Sentence


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.epub"


def refused(path: Path) -> Sentence:
    """The sentence with which a file is refused."""
    with pytest.raises(Unreadable) as error:
        read(path, lambda passage: None)
    assert error.value.status == 422
    assert error.value.sentence.to(CHINESE) != str(error.value.sentence)
    return error.value.sentence


def refused_with(path: Path, changes: Mapping[str, bytes | None]) -> Sentence:
    parts: dict[str, bytes | None] = {**members(), **changes}
    return refused(pack(path, {name: data for name, data in parts.items() if data is not None}))


# Other formats


def palm(kind: bytes) -> bytes:
    return b"A_Book".ljust(60, b"\0") + kind + bytes(500)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (palm(b"BOOKMOBI"), unreadable.KINDLE),
        (palm(b"TEXtREAd"), unreadable.KINDLE),
        (b"TPZ0" + bytes(500), unreadable.KINDLE),
        (b"CONT\2\0" + bytes(500), unreadable.KINDLE),
        (b"\xeaDRMION\xee" + bytes(500), unreadable.KINDLE),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", unreadable.PDF),
        (b"\xef\xbb\xbf\n%PDF-1.7", unreadable.PDF),
        (b"", unreadable.OTHER),
        (b"A text.\n" * 1000, unreadable.OTHER),
        (b"<!DOCTYPE html><p>A page.", unreadable.OTHER),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000), unreadable.OTHER),
        (b"Rar!\x1a\7\0" + bytes(500), unreadable.OTHER),
    ],
)
def test_files_of_another_format_are_told_apart(path: Path, data: bytes, sentence: Sentence) -> None:
    path.write_bytes(data)
    assert refused(path) == sentence


@pytest.mark.parametrize(
    "parts",
    [
        {"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w:document/>"},
        {"001.jpg": b"\xff\xd8\xff", "002.jpg": b"\xff\xd8\xff"},
        {
            "mimetype": b"application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": b"<m/>",
            "content.xml": b"",
        },
        {},
    ],
)
def test_other_files_in_a_zip_are_no_books(path: Path, parts: Mapping[str, bytes]) -> None:
    assert refused(pack(path, parts)) == unreadable.OTHER


# Locks


def encryption(algorithm: str, *names: str) -> bytes:
    data = "".join(
        f"<enc:EncryptedData><enc:EncryptionMethod Algorithm='{algorithm}'/><ds:KeyInfo><enc:EncryptedKey>"
        "<enc:EncryptionMethod Algorithm='http://www.w3.org/2001/04/xmlenc#rsa-1_5'/></enc:EncryptedKey></ds:KeyInfo>"
        f"<enc:CipherData><enc:CipherReference URI='{name}'/></enc:CipherData></enc:EncryptedData>"
        for name in names
    )
    return (
        "<encryption xmlns='urn:oasis:names:tc:opendocument:xmlns:container'"
        " xmlns:enc='http://www.w3.org/2001/04/xmlenc#' xmlns:ds='http://www.w3.org/2000/09/xmldsig#'>"
        f"{data}</encryption>"
    ).encode()


AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
IDPF = "http://www.idpf.org/2008/embedding"
ADOBE = "http://ns.adobe.com/pdf/enc#RC"


@pytest.mark.parametrize(
    "parts",
    [
        {"META-INF/rights.xml": b"<adept:rights/>"},
        {"META-INF/sinf.xml": b"<fairplay/>"},
        {"META-INF/license.lcpl": b"{}"},
        {"rights.xml": b"<kdrm/>"},
        {"META-INF/encryption.xml": encryption(AES, "OPS/1.xhtml", "OPS/x.png")},
        {"META-INF/encryption.xml": encryption(AES, "OPS/%32.xhtml")},
        {"META-INF/encryption.xml": encryption(AES, "OPS/package.opf")},
        {"META-INF/encryption.xml": encryption("", "OPS/1.xhtml")},
        {"META-INF/encryption.xml": encryption(AES, "OPS/1.xhtml")[:-4]},
    ],
)
def test_a_locked_book_is_told_to_be_locked(path: Path, parts: Mapping[str, bytes]) -> None:
    assert refused_with(path, parts) == unreadable.LOCKED


def test_the_voucher_for_a_locked_book_is_told_to_be_locked(path: Path) -> None:
    path.write_bytes(b"<?xml version='1.0'?>\n<fulfillmentToken xmlns='http://ns.adobe.com/adept'/>")
    assert refused(path) == unreadable.LOCKED


def test_a_password_is_a_lock(path: Path) -> None:
    data = bytearray(make_epub(path).read_bytes())
    for sign, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(sign)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(sign, at + 4)
    path.write_bytes(data)
    assert refused(path) == unreadable.LOCKED


@pytest.mark.parametrize("algorithm", [IDPF, ADOBE])
def test_obfuscated_fonts_and_encrypted_pictures_are_no_lock(path: Path, algorithm: str) -> None:
    for file in (
        encryption(algorithm, "OPS/a.otf"),
        encryption(AES, "OPS/a.png"),
        encryption(AES, "OPS/gone.xhtml"),
    ):
        pack(path, {**members(), "META-INF/encryption.xml": file, "OPS/a.otf": b"x", "OPS/a.png": b"x"})
        assert read(path, lambda passage: None).title == "A Book"


# Books with nothing to read


@pytest.mark.parametrize(
    "opf",
    [
        package([], ""),
        package(["1.xhtml"], "", spine=""),
        b"<package/>",
    ],
)
def test_a_book_without_a_spine_has_no_order(path: Path, opf: bytes) -> None:
    assert refused_with(path, {"OPS/package.opf": opf}) == unreadable.NO_SPINE


PICTURE = "<item id='p{0}' href='{0}.jpg' media-type='image/jpeg'/>"


def test_books_of_pictures_and_empty_books_have_no_text(path: Path) -> None:
    page = document("<img src='1.jpg' alt=''/><p> &#160;\n</p><script>x</script>")
    blank = {f"OPS/{number}.xhtml": page for number in (1, 2, 3)}
    assert refused_with(path, blank) == unreadable.NO_TEXT
    assert refused_with(path, dict.fromkeys(blank, b"")) == unreadable.NO_TEXT
    pictures = "".join(PICTURE.format(number) for number in range(9))
    spine = "".join(f"<itemref idref='p{number}'/>" for number in range(9))
    parts = {f"OPS/{number}.jpg": b"\xff\xd8\xff" for number in range(9)}
    parts["OPS/package.opf"] = package([], "", manifest=pictures, spine=spine)
    assert refused_with(path, parts) == unreadable.NO_TEXT


# Damaged files


def test_a_file_that_is_not_whole_is_damaged(path: Path) -> None:
    data = make_epub(path).read_bytes()
    for size in (len(data) - 1, len(data) - 30, len(data) // 2, 40):
        path.write_bytes(data[:size])
        assert refused(path) == unreadable.DAMAGED, size


def test_a_book_whose_parts_are_all_missing_is_damaged(path: Path) -> None:
    gone = {"OPS/1.xhtml": None, "OPS/2.xhtml": None, "OPS/3.xhtml": None}
    assert refused_with(path, gone) == unreadable.DAMAGED


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_parts_that_are_packed_in_a_strange_way_are_not_read(path: Path, method: int) -> None:
    """The memory to unpack LZMA is what the file asks for."""
    make_epub(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("OPS/4.xhtml", document("<p>x</p>"), method)
        opf = package(["1.xhtml", "4.xhtml"], "")
    with zipfile.ZipFile(path) as archive:
        parts = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in parts.items():
            archive.writestr(info, opf if info.filename.endswith(".opf") else data)
    book = read(path, lambda passage: None)
    assert [str(each) for each in book.faults] == ["1 part of this book could not be read."]


def with_wrong_checksum(path: Path, name: str) -> Path:
    data = bytearray(path.read_bytes())
    at = data.rfind(name.encode()) - 46
    assert data.startswith(b"PK\1\2", at)
    data[at + 16] ^= 1
    path.write_bytes(data)
    return path


def test_a_part_with_nothing_wrong_but_its_checksum_is_read(path: Path) -> None:
    book = read(with_wrong_checksum(make_epub(path), "OPS/package.opf"), lambda passage: None)
    assert (book.title, book.faults) == ("A Book", ())
    found: list[str] = []
    book = read(with_wrong_checksum(make_epub(path), "OPS/3.xhtml"), lambda passage: found.append(passage.text))
    assert found[-1].endswith("They had tea.\n")
    assert [str(each) for each in book.faults] == ["1 part of this book could not be read."]
    pack(path, {**members(), "OPS/package.opf": members()["OPS/package.opf"].replace(b"</package>", b"")})
    with_wrong_checksum(path, "OPS/package.opf")
    assert refused(path) == unreadable.DAMAGED


# Files that would cost too much


def test_a_book_of_too_many_parts_is_refused_before_they_are_listed(path: Path) -> None:
    def pack_empty(count: int, comment: bytes = b"") -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members().items():
                archive.writestr(name, data)
            for number in range(count):
                archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
            archive.comment = comment

    pack_empty(MOST_MEMBERS - 20)
    assert read(path, lambda passage: None).title == "A Book"
    for comment in (b"", b"A comment. " * 5000):
        pack_empty(MOST_MEMBERS + 1, comment)
        assert refused(path) == unreadable.MANY_PARTS.having(count=MOST_MEMBERS)


@pytest.mark.slow
def test_a_hundred_thousand_parts_cost_little_memory(path: Path) -> None:
    """zipfile alone takes 54 MB to list them. The format counts more than 65,535 in a record of its own (zip64)."""
    entry = b"PK\1\2" + struct.pack("<HHHHHHLLLHHHHHLL", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    for count, told in ((100_000, 100_000), (100_000, 3), (60_000, 60_000)):
        directory = entry * count
        record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, told, told, len(directory), 0)
        record += struct.pack("<4sLQL", b"PK\6\7", 0, len(directory), 1)
        end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        path.write_bytes(directory + record + end)
        with zipfile.ZipFile(path) as archive:
            assert len(archive.namelist()) == count, "the file is as zipfile reads it"
        tracemalloc.start()
        assert refused(path) == unreadable.MANY_PARTS.having(count=MOST_MEMBERS)
        assert tracemalloc.get_traced_memory()[1] < 2 * MOST_DIRECTORY
        tracemalloc.stop()


@pytest.mark.parametrize("size", [MOST_DIRECTORY + 1, 2**32 - 1])
def test_a_list_of_parts_without_end_is_refused(path: Path, size: int) -> None:
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0)
    path.write_bytes(end)
    assert refused(path) == unreadable.MANY_PARTS.having(count=MOST_MEMBERS)


@pytest.mark.parametrize("name", ["OPS/1.xhtml", "OPS/package.opf", "OPS/nav.xhtml", "META-INF/container.xml"])
@pytest.mark.parametrize("filling", [b" ", b"<p>x</p>", b"<!-- x -->"])
def test_a_part_that_unpacks_to_a_thousand_times_its_size_is_refused(path: Path, name: str, filling: bytes) -> None:
    bomb = members()[name] + filling * (8_000_000 // len(filling))
    assert path.parent.stat().st_size < 100_000
    sentence = refused_with(path, {name: bomb})
    assert sentence == unreadable.GROWS
    assert path.stat().st_size < 100_000


def test_parts_of_one_file_are_counted_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MOST_UNPACKED", 100_000)
    words = random.Random(1).choices("abcdefghijklmnopqrstuvwxyz ", k=45_000)
    pages = {f"OPS/{number}.xhtml": document("".join(words)) for number in (1, 2, 3)}
    assert refused_with(path, pages) == unreadable.GROWS
    pack(path, {**members(), **pages, "OPS/3.xhtml": b""})
    assert read(path, lambda passage: None).title == "A Book"


BOMB = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>"""
LONG_BOMB = f"<!DOCTYPE x [<!ENTITY d '{'ha' * 30_000}'>]>"


@pytest.mark.parametrize("bomb", [BOMB, LONG_BOMB])
@pytest.mark.parametrize(
    "name", ["OPS/1.xhtml", "OPS/package.opf", "OPS/nav.xhtml", "OPS/toc.ncx", "META-INF/container.xml"]
)
def test_entities_that_grow_are_refused_wherever_they_stand(path: Path, bomb: str, name: str) -> None:
    parts = members()
    _, declaration, rest = parts[name].decode().partition("?>")
    bad = bomb + (rest if declaration else parts[name].decode()).replace("<head", "<p>&d;&d;</p><head")
    without_nav = {"OPS/nav.xhtml": None} if name == "OPS/toc.ncx" else {}
    assert refused_with(path, {**without_nav, name: bad.encode()}) == unreadable.GROWS


def test_an_entity_that_stands_for_another_file_is_nothing(path: Path) -> None:
    secret = path.parent / "secret"
    secret.write_text("SECRET")
    kind = f'<!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}"><!ENTITY % p SYSTEM "{secret.as_uri()}">%p;]>'
    parts = members()
    parts["OPS/1.xhtml"] = f"{kind}<html><body><p>A&s;B</p></body></html>".encode()
    parts["OPS/package.opf"] = kind.encode() + parts["OPS/package.opf"].partition(b"?>")[2].replace(
        b"A Book", b"A &s;Book"
    )
    found: list[str] = []
    book = read(pack(path, parts), lambda passage: found.append(passage.text))
    assert book.title == "A Book"
    assert "".join(found).startswith("AB\n")


@pytest.mark.parametrize("name", ["../../etc/passwd", "OPS/../../x", "..\\..\\x", "x/../../../y"])
def test_a_part_with_a_path_out_of_the_file_is_refused_if_the_book_needs_it(path: Path, name: str) -> None:
    stray = {name: b"<p>root::0:0::/:/bin/sh</p>"}
    found: list[str] = []
    read(pack(path, {**members(), **stray}), lambda passage: found.append(passage.text))
    assert "root" not in "".join(found), "what nothing names is nothing"
    own = {"OPS/package.opf": package(["1.xhtml", f"../{name}"], "")}
    assert refused_with(path, {**stray, **own}) == unreadable.LEAVES
    manifest = f"<item id='x' href='../{name}' properties='nav'/>"
    own = {"OPS/package.opf": package(["1.xhtml"], "", manifest=manifest)}
    assert refused_with(path, {**stray, **own, "OPS/nav.xhtml": None}) == unreadable.LEAVES
    container = CONTAINER.replace("OPS/package.opf", name).encode()
    assert refused_with(path, {**stray, "META-INF/container.xml": container}) == unreadable.LEAVES
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]


def test_an_address_out_of_the_file_is_refused_and_a_path_of_the_machine_leads_nowhere(path: Path) -> None:
    opf = package(["1.xhtml", "/etc/passwd", "file:///etc/passwd", "//host/x"], "")
    found: list[str] = []
    book = read(pack(path, {**members(), "OPS/package.opf": opf}), lambda passage: found.append(passage.text))
    assert "root" not in "".join(found)
    assert [str(each) for each in book.faults] == ["3 parts of this book could not be read."]
    opf = package(["1.xhtml", "../../../../etc/passwd"], "")
    assert refused_with(path, {"OPS/package.opf": opf}) == unreadable.LEAVES


@pytest.mark.slow
def test_depth_and_width_do_not_matter(path: Path) -> None:
    deep = document("<div>" * 50_000 + "<p>Deep.</p>" + "</div>" * 50_000)
    wide = document(f"<p {' '.join(f'a{n}={n}' for n in range(100_000))}>Wide.</p>")
    hidden = document("<span hidden=''>" * 20_000 + "x" + "</span>" * 20_000 + "<p>Seen.</p>")
    parts = {"OPS/1.xhtml": deep, "OPS/2.xhtml": wide, "OPS/3.xhtml": hidden}
    lists = "<nav epub:type='toc'>" + "<ol><li>" * 20_000 + "<a href='1.xhtml'>Deep</a>"
    points = "<navPoint>" * 1500 + "<navLabel><text>Deep</text></navLabel><content src='1.xhtml'/>"
    opf = package(["1.xhtml", "2.xhtml", "3.xhtml"], "<x>" * 20_000 + "<dc:title>Deep</dc:title>")
    for table in (
        {"OPS/nav.xhtml": lists.encode()},
        {"OPS/nav.xhtml": None, "OPS/toc.ncx": f"<ncx><navMap>{points}".encode()},
    ):
        found: list[str] = []
        changed: dict[str, bytes | None] = {**members(), **parts, "OPS/package.opf": opf, **table}
        pack(path, {name: data for name, data in changed.items() if data is not None})
        book = read(path, lambda passage, found=found: found.append(passage.text))  # type: ignore[misc]
        assert book.title == "Deep"
        assert [(each.title, each.level) for each in book.chapters] == [("Deep", 9)]
        assert "".join(found) == "Deep.\nWide.\nSeen.\n"


def test_a_table_of_contents_without_end_is_missing(path: Path) -> None:
    noise = "".join(random.Random(1).choices("abcdefghij klmnop", k=20_000))  # so that it is no bomb
    table = members()["OPS/nav.xhtml"] + f"<!--{noise}-->".encode() * 900
    book = read(pack(path, {**members(), "OPS/nav.xhtml": table}), lambda passage: None)
    assert [each.title for each in book.chapters] == ["A Beginning", "A Middle", "An End"]


@pytest.mark.slow
def test_a_name_that_is_given_a_million_times_is_kept_once(path: Path) -> None:
    page = document("<b id='x'/>" * 80_000)
    table = {"OPS/nav.xhtml": nav([("1.xhtml#x", "A"), ("2.xhtml", "B")])}
    pack(path, {**members(), "OPS/1.xhtml": page, **table})
    read(path, lambda passage: None)
    tracemalloc.start()
    read(path, lambda passage: None)
    assert tracemalloc.get_traced_memory()[1] < 400_000
    tracemalloc.stop()


@pytest.mark.slow
def test_a_million_items_are_not_kept(path: Path) -> None:
    spine = "<itemref idref='d0'/>" + "".join(f"<itemref idref='x{number}'/>" for number in range(60_000))
    manifest = "".join(f"<item id='x{number}' href='{number}'/>" for number in range(60_000))
    opf = package(["1.xhtml"], "<dc:title>Many</dc:title>", manifest=manifest, spine=spine)
    assert read(pack(path, {**members(), "OPS/package.opf": opf}), lambda passage: None).title == "Many"


@pytest.mark.slow
@pytest.mark.parametrize("unit", [b"<b>x</b>", b"&a;&#1;", b"x ", b"<p hidden>"])
def test_the_longest_file_costs_a_bounded_time_and_memory(path: Path, soak: Soak, unit: bytes) -> None:
    """Of 100 MB that are not packed, so that they are no bomb. A process of its own says what they cost."""
    size, parts = soak(30, full=100) * 1_000_000, members()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            if name not in ("OPS/1.xhtml", "OPS/2.xhtml", "OPS/3.xhtml"):
                archive.writestr(name, data)
        for number in (1, 2, 3):
            archive.writestr(f"OPS/{number}.xhtml", unit * (size // 3 // len(unit) - 10))
    code = (
        "import re, sys, time\n"
        "from pathlib import Path\n"
        "from kindle_appliance.epub.reading import read, Unreadable\n"
        "def kib(line):\n"
        "    return int(re.search(rf'{line}:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = kib('VmRSS')\n"
        "try:\n"
        "    read(Path(sys.argv[1]), lambda passage: None)\n"
        "except Unreadable as error:\n"
        "    print(error, file=sys.stderr)\n"
        "print(time.process_time(), kib('VmHWM') - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    seconds, kib = map(float, done.stdout.split())
    soak.tell(f"{size // 1_000_000} MB of {unit.decode()}: {seconds:.1f} s, {kib / 1000:.1f} MB of memory")
    assert kib < 16_000
    assert seconds < 60, "on the slowest machine that runs tests; some seconds on others"
    path.unlink()


# Any file


@pytest.fixture(scope="module")
def real_books(shared: Path) -> list[bytes]:
    return [each.read_bytes() for each in sorted((shared / "books").glob("*.epub"))]


def read_or_refuse(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    started = time.thread_time()
    length = 0

    def take(passage: object) -> None:
        nonlocal length
        length += len(getattr(passage, "text", ""))

    try:
        book = read(path, take)
    except Unreadable as error:
        assert error.sentence
    else:
        assert book.title and 0 < book.length == length
    assert time.thread_time() - started < 20


@pytest.mark.slow
@given(st.data())
def test_a_real_book_with_wrong_bytes_is_a_book_or_refused(
    tmp_path_factory: pytest.TempPathFactory, real_books: list[bytes], data: st.DataObject
) -> None:
    changed = bytearray(data.draw(st.sampled_from(real_books)))
    end = len(changed)
    places = st.one_of(st.integers(0, end - 1), st.integers(max(0, end - 3000), end - 1), st.integers(0, 200))
    for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=20)):
        changed[at] = byte
    size = data.draw(st.one_of(st.just(end), st.integers(0, end)))
    read_or_refuse(tmp_path_factory.mktemp("books") / "book.epub", bytes(changed[:size]))


def _unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {
            name: archive.read(name) for name in archive.namelist() if not name.endswith((".jpg", ".otf", ".png"))
        }


CHANGES: list[Callable[[bytes, random.Random], bytes | None]] = [
    lambda data, chance: None,
    lambda data, chance: b"",
    lambda data, chance: data[: chance.randrange(len(data) + 1)],
    lambda data, chance: data.replace(b"<", b"", chance.randrange(5)),
    lambda data, chance: data.replace(b"/", b"", chance.randrange(5)),
    lambda data, chance: data.replace(b'"', b"'", 1),
    lambda data, chance: data.replace(b"href", b"hrfe"),
    lambda data, chance: data.replace(b"utf-8", b"utf-16"),
    lambda data, chance: chance.randbytes(2000),
    lambda data, chance: data + data,
    lambda data, chance: bytes(byte ^ (chance.random() < 0.01) for byte in data[:20_000]),
]


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.integers(0, 9))
def test_a_real_book_with_wrong_parts_is_a_book_or_refused(
    tmp_path_factory: pytest.TempPathFactory, real_books: list[bytes], chance: random.Random, count: int
) -> None:
    parts: dict[str, bytes | None] = {**_unpacked(chance.choice(real_books))}
    for _ in range(count):
        name, other = chance.choice(list(parts)), chance.choice(list(parts))
        data = parts[name]
        parts[name] = chance.choice(CHANGES)(data, chance) if data and chance.random() < 0.8 else parts[other]
    path = tmp_path_factory.mktemp("books") / "book.epub"
    pack(path, {name: data for name, data in parts.items() if data is not None})
    read_or_refuse(path, path.read_bytes())
