"""EPUB files for tests: a whole book in one call, or its members, to change them before they are packed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

Chapters = Sequence[tuple[str, Sequence[str]]]
"""The title of each chapter, and its paragraphs."""

SAMPLE: Chapters = (
    ("Chapter 1: A Beginning", ["It rained.", "Nobody came to the house that day."]),
    ("Chapter 2: A Middle", ["The next day somebody came.", "It was the gardener, and he was wet."]),
    ("Chapter 3: An End", ["They had tea."]),
)

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OPS/package.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""

_PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">urn:test</dc:identifier>
{metadata}</metadata>
<manifest>{manifest}</manifest>
<spine toc="ncx">{spine}</spine></package>"""

_DOCUMENT = """<?xml version="1.0" encoding="utf-8"?>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title>{title}</title></head>
<body>{body}</body></html>"""

_NCX = """<?xml version="1.0" encoding="utf-8"?>
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><navMap>{points}</navMap></ncx>"""


def make_epub(
    path: Path,
    *,
    title: str = "A Book",
    chapters: Chapters = SAMPLE,
    language: str = "en",
    creator: str = "A Writer",
) -> Path:
    """Write a book with a document for each chapter: its title as a heading, and its paragraphs. The table of
    contents names the same titles. Returns `path`.
    """
    return pack(path, members(title=title, chapters=chapters, language=language, creator=creator))


def members(
    *,
    title: str = "A Book",
    chapters: Chapters = SAMPLE,
    language: str = "en",
    creator: str = "A Writer",
) -> dict[str, bytes]:
    """The members of the file that `make_epub` writes, by name: `OPS/1.xhtml` and so on, `OPS/package.opf`,
    `OPS/nav.xhtml`, `OPS/toc.ncx`.
    """
    names = [f"{number}.xhtml" for number in range(1, len(chapters) + 1)]
    titles = [name for name, _ in chapters]
    documents = {
        f"OPS/{name}": document(f"<h1>{escape(heading)}</h1>" + "".join(f"<p>{escape(text)}</p>" for text in texts))
        for name, (heading, texts) in zip(names, chapters, strict=True)
    }
    about = {"title": title, "language": language, "creator": creator}
    metadata = "".join(f"<dc:{each}>{escape(text)}</dc:{each}>" for each, text in about.items() if text)
    return {
        "mimetype": b"application/epub+zip",
        "META-INF/container.xml": CONTAINER.encode(),
        "OPS/package.opf": package(names, metadata),
        "OPS/nav.xhtml": nav(list(zip(names, titles, strict=True))),
        "OPS/toc.ncx": ncx(list(zip(names, titles, strict=True))),
        **documents,
    }


def package(names: Sequence[str], metadata: str, *, manifest: str = "", spine: str | None = None) -> bytes:
    """A package document: these XHTML files in the manifest, and more entries; and in the spine, or another one."""
    items = "".join(
        f'<item id="d{index}" href="{escape(name)}" media-type="application/xhtml+xml"/>'
        for index, name in enumerate(names)
    )
    items += '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
    items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    if spine is None:
        spine = "".join(f'<itemref idref="d{index}"/>' for index in range(len(names)))
    return _PACKAGE.format(metadata=metadata, manifest=items + manifest, spine=spine).encode()


def document(body: str, title: str = "") -> bytes:
    """A content document with this body."""
    return _DOCUMENT.format(title=escape(title), body=body).encode()


def nav(entries: Sequence[tuple[str, str]]) -> bytes:
    """A table of contents of EPUB 3: address and title of each entry."""
    items = "".join(f'<li><a href="{escape(address)}">{escape(title)}</a></li>' for address, title in entries)
    return document(f'<nav epub:type="toc"><ol>{items}</ol></nav>')


def ncx(entries: Sequence[tuple[str, str]]) -> bytes:
    """A table of contents of EPUB 2."""
    points = "".join(
        f"<navPoint><navLabel><text>{escape(title)}</text></navLabel><content src={quoted(address)}/></navPoint>"
        for address, title in entries
    )
    return _NCX.format(points=points).encode()


def quoted(text: str) -> str:
    """An attribute's value in its quotation marks."""
    return f'"{escape(text)}"'


def pack(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write these members as an EPUB file: `mimetype` as it is, the others compressed. Returns `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)
    return path
