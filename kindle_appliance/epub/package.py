"""What an EPUB says of itself: its package document, which the container names, and what of it is encrypted."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from .archive import Archive, Missing, leaves
from .plain_text import line
from .unreadable import DAMAGED, LEAVES, LOCKED, NO_SPINE, OTHER, Unreadable
from .xml_file import read_xml

MOST_ITEMS = 20_000
"""Of a manifest or a spine."""

_MOST_SMALL = 1_000_000  # bytes of a file in META-INF
_MOST_PACKAGE = 4_000_000  # bytes
_MOST_NAMES = 20  # titles or creators
_MOST_IN_TITLE = 300  # characters
_MOST_IN_CREATOR = 100
_MOST_IN_CREATORS = 300
_MOST_IN_ADDRESS = 1000
_MOST_FALLBACKS = 10

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_LOCKS = ("META-INF/rights.xml", "META-INF/sinf.xml", "META-INF/license.lcpl", "rights.xml")
"""What Adobe's, Apple's, Readium's and Kobo's locks leave in a file."""

_OBFUSCATIONS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""Of fonts (OCF 3.3, 4.4; Adobe's own). No lock: anybody can undo them, and nobody has to."""

_READABLE = re.compile(r"xhtml|html|svg|dtbook|x-oeb1-document")
_READABLE_NAME = re.compile(r"\.(?:x?html?|xml|svg)$", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

_SHORT = {
    **{"eng": "en", "ger": "de", "deu": "de", "fre": "fr", "fra": "fr", "spa": "es", "ita": "it", "por": "pt"},
    **{"dut": "nl", "nld": "nl", "rus": "ru", "chi": "zh", "zho": "zh", "cmn": "zh", "jpn": "ja", "kor": "ko"},
    **{"ara": "ar", "heb": "he", "iw": "he", "per": "fa", "fas": "fa", "urd": "ur", "pol": "pl", "swe": "sv"},
    **{"dan": "da", "nor": "no", "fin": "fi", "cze": "cs", "ces": "cs", "gre": "el", "ell": "el", "tur": "tr"},
}
"""Codes of three letters that books have, and those of two (ISO 639)."""

_NO_LANGUAGE = ("und", "mul", "zxx", "mis")


@dataclass
class Item:
    """An entry of the manifest."""

    address: str
    media_type: str
    properties: Sequence[str]
    fallback: str


@dataclass
class Package:
    """What the package document says. `spine`: the names of the members that are read, in their order; `missing`:
    how many more it lists. `nav`, `ncx`: the names of the members with the table of contents. `beginning`: address
    of where the text proper begins, if told (EPUB 2).
    """

    name: str
    title: str
    creator: str
    language: str
    spine: Sequence[str]
    missing: int
    nav: str | None
    ncx: str | None
    beginning: str


def read_package(archive: Archive) -> Package:
    """The package document of a book. Raises Unreadable if the book is locked, or says nothing to read."""
    for lock in _LOCKS:
        if archive.find(lock):
            raise Unreadable(LOCKED, lock)
    encrypted = _encrypted(archive)
    names = _package_names(archive)
    found = None
    for name in names:
        if name in encrypted:
            raise Unreadable(LOCKED, name[:80])
        with suppress(Missing):
            document = read_xml(partial(archive.pieces, name, _MOST_PACKAGE), _Document)
            found = (name, document) if found is None or document.spine else found
            if document.spine:
                break
    if found is None:
        raise Unreadable(DAMAGED if names else OTHER, "no package document")
    package = _package(archive, *found)
    if not found[1].spine:
        raise Unreadable(NO_SPINE)
    if not encrypted.isdisjoint(package.spine):
        raise Unreadable(LOCKED, "encrypted documents")
    return package


def resolved(archive: Archive, base: str, address: str) -> tuple[str, str] | None:
    """The member, by name, and the fragment that `address`, relative to `base`, points to. None if it is elsewhere,
    or not there.
    """
    path, fragment = _joined(base, address)
    name = archive.find(path) if path else None
    return (name, fragment) if name else None


def _joined(base: str, address: str) -> tuple[str, str]:
    """The path of an address, "" if it is elsewhere, and the fragment."""
    path, _, fragment = address.strip()[:_MOST_IN_ADDRESS].partition("#")
    fragment = unquote(fragment)
    if _SCHEME.match(path) or path.startswith("//"):
        return "", fragment
    path = path.partition("?")[0]
    if not path:
        return base, fragment
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(path).replace("\\", "/")))
    return path.lstrip("/"), fragment


def _needed(archive: Archive, base: str, address: str) -> str | None:
    """The member that an address points to, without which the book cannot be read as it is meant. Raises Unreadable
    for one out of the archive, unless it is only wrong.
    """
    place = resolved(archive, base, address)
    path = place[0] if place else _joined(base, address)[0]
    if leaves(path):
        raise Unreadable(LEAVES, path[:80])
    return place[0] if place else None


def _package_names(archive: Archive) -> list[str]:
    """The package documents that the container names, or else those that there are."""
    container = archive.find(_CONTAINER)
    named: list[str] = []
    if container:
        with suppress(Missing):
            named = read_xml(partial(archive.pieces, container, _MOST_SMALL), _Container).paths
    found = [name for path in named if (name := _needed(archive, "", path))]
    if found:
        return found
    there = [
        name
        for name in archive.names()
        if name.lower().endswith(".opf") and not posixpath.basename(name).startswith("._")
    ]
    return sorted(there, key=len)[:_MOST_NAMES]


def _encrypted(archive: Archive) -> set[str]:
    """The names of the members that are encrypted, fonts that are only obfuscated left out."""
    name = archive.find(_ENCRYPTION)
    if not name:
        return set()
    try:
        listed = read_xml(partial(archive.pieces, name, _MOST_PACKAGE), _Encryption).listed
    except Missing as error:
        raise Unreadable(DAMAGED, f"{_ENCRYPTION}: {error}") from error
    found = {archive.find(unquote(path).lstrip("/")) for path, method in listed if method not in _OBFUSCATIONS}
    return {each for each in found if each}


def _package(archive: Archive, name: str, document: _Document) -> Package:
    spine: dict[str, None] = {}  # a set in order: a document that is listed again is not read again
    missing = 0
    for reference in document.spine:
        item = _readable(document.manifest, reference)
        if item is None:
            missing += reference not in document.manifest
            continue
        document_name = _needed(archive, name, item.address)
        if document_name:
            spine[document_name] = None
        else:
            missing += 1

    def member(items: Sequence[Item]) -> str | None:
        return next((found for item in items if (found := _needed(archive, name, item.address))), None)

    items = list(document.manifest.values())
    toc = document.manifest.get(document.toc)
    return Package(
        name=name,
        title=document.title(),
        creator=document.creator(),
        language=_language(document.languages),
        spine=list(spine),
        missing=missing,
        nav=member([item for item in items if "nav" in item.properties]),
        ncx=member(
            [
                *([toc] if toc else ()),
                *(item for item in items if "ncx" in item.media_type or item.address.endswith(".ncx")),
            ]
        ),
        beginning=document.beginning,
    )


def _readable(manifest: Mapping[str, Item], name: str) -> Item | None:
    """The item of this name, or the first of its fallbacks that is text; None if none is. One that is text only by
    the ending of its address comes last: some files have wrong media types.
    """
    by_name = None
    for _ in range(_MOST_FALLBACKS):
        item = manifest.get(name)
        if item is None:
            break
        if _READABLE.search(item.media_type):
            return item
        if not item.media_type.startswith("image/") and _READABLE_NAME.search(item.address.partition("#")[0]):
            by_name = by_name or item
        name = item.fallback
    return by_name


def _language(told: Sequence[str]) -> str:
    for each in told:
        code = re.split("[-_]", each.strip().lower())[0]
        if re.fullmatch("[a-z]{2,3}", code) and code not in _NO_LANGUAGE:
            return _SHORT.get(code, code)
    return ""


class _Target:
    """Nothing of a file. What is looked for is added by each file's own."""

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...


class _Container(_Target):
    def __init__(self) -> None:
        self.paths: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        if name == "rootfile" and "full-path" in attributes and len(self.paths) < _MOST_NAMES:
            self.paths.append(attributes["full-path"][:_MOST_IN_ADDRESS])


class _Encryption(_Target):
    def __init__(self) -> None:
        self.listed: list[tuple[str, str]] = []
        self._method = ""

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        if name == "encrypteddata":
            self._method = ""
        elif name == "encryptionmethod":
            self._method = self._method or attributes.get("algorithm", "")
        elif name == "cipherreference" and len(self.listed) < MOST_ITEMS:
            self.listed.append((attributes.get("uri", ""), self._method))


@dataclass
class _Said:
    """An element of the metadata, with what is said about it elsewhere."""

    id: str
    text: str = ""
    role: str = ""


class _Document(_Target):
    def __init__(self) -> None:
        self.manifest: dict[str, Item] = {}
        self.spine: list[str] = []
        self.toc = ""
        self.languages: list[str] = []
        self.beginning = ""
        self._titles: list[_Said] = []
        self._creators: list[_Said] = []
        self._roles: dict[str, str] = {}
        self._text: list[str] = []
        self._element = ""
        self._refines = ""

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        if name == "item" and "href" in attributes and len(self.manifest) < MOST_ITEMS:
            item = Item(
                attributes["href"][:_MOST_IN_ADDRESS],
                attributes.get("media-type", "")[:_MOST_IN_CREATOR].lower(),
                attributes.get("properties", "")[:_MOST_IN_CREATOR].split(),
                attributes.get("fallback", "").strip()[:_MOST_IN_ADDRESS],
            )
            self.manifest.setdefault(attributes.get("id", item.address).strip()[:_MOST_IN_ADDRESS], item)
        elif name == "itemref" and len(self.spine) < MOST_ITEMS:
            self.spine.append(attributes.get("idref", "").strip()[:_MOST_IN_ADDRESS])
        elif name == "spine":
            self.toc = attributes.get("toc", "").strip()
        elif name == "reference" and attributes.get("type", "").lower() in ("text", "start"):
            self.beginning = self.beginning or attributes.get("href", "")
        elif name in ("title", "creator", "language", "meta"):
            self._begin(name, attributes)

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        self._element, self._text = name, []
        said = _Said(attributes.get("id", ""), role=attributes.get("role", ""))
        if name == "title" and len(self._titles) < _MOST_NAMES:
            self._titles.append(said)
        elif name == "creator" and len(self._creators) < _MOST_NAMES:
            self._creators.append(said)
        elif name == "meta":
            is_role = attributes.get("property") in ("role", "title-type")
            self._refines = attributes.get("refines", "").removeprefix("#") if is_role else ""

    def text(self, text: str) -> None:
        if self._element and len(self._text) < _MOST_NAMES:
            self._text.append(text[:_MOST_IN_ADDRESS])

    def end(self, name: str) -> None:
        if name != self._element:
            return
        self._element, text = "", "".join(self._text)
        if name == "title" and self._titles:
            self._titles[-1].text = self._titles[-1].text or line(text, _MOST_IN_TITLE)
        elif name == "creator" and self._creators:
            self._creators[-1].text = self._creators[-1].text or line(text, _MOST_IN_CREATOR)
        elif name == "language" and len(self.languages) < _MOST_NAMES:
            self.languages.append(text[:_MOST_IN_CREATOR])
        elif name == "meta" and self._refines and len(self._roles) < MOST_ITEMS:
            self._roles[self._refines] = text.strip()

    def title(self) -> str:
        """The main title, or the first; "" if there is none."""
        titles = [each for each in self._titles if each.text]
        main = [each.text for each in titles if self._roles.get(each.id) == "main"]
        return next(iter(main or [each.text for each in titles]), "")

    def creator(self) -> str:
        """The authors, or else all who made the book, with commas between them."""
        creators = [each for each in self._creators if each.text]
        authors = [each.text for each in creators if "aut" in (each.role, self._roles.get(each.id))]
        return line(", ".join(dict.fromkeys(authors or [each.text for each in creators])), _MOST_IN_CREATORS)
