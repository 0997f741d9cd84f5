"""Everything that the documents name exists: files, folders, make targets, links and headings."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT
from test_layers import FLOW

PACKAGE = ROOT / "kindle_appliance"
ARCHITECTURE = "docs/architecture.md"
DOCUMENTS = ("README.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", ARCHITECTURE)
LENGTHS = {"SECURITY.md": 2150, "CONTRIBUTING.md": 1050, ARCHITECTURE: 2400}  # words
ENDINGS = "cfg|css|html|js|md|mo|po|py|service|sh|socket|txt"
MEDIA_TYPES = ("text/", "application/", "multipart/")
FOLDER_ROW = re.compile(r"^\| `(\w+)/` \|.*\n", re.MULTILINE)


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def prose(document: str) -> str:
    """A document without its indented blocks, which hold commands and their output."""
    return re.sub(r"^ {4}.*\n", "", text(document), flags=re.MULTILINE)


def named_files(markdown: str) -> set[str]:
    """The words in backticks with a folder or the ending of a file. A URL's path starts with a slash."""
    words = re.findall(r"`([\w.][\w./-]*)`", markdown)
    files = {word for word in words if "/" in word or re.fullmatch(rf"[\w.-]*\w\.({ENDINGS})", word)}
    return {file for file in files if not file.startswith(MEDIA_TYPES)}


def anchors(document: str) -> set[str]:
    """The headings of a document, as a link names them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    named = named_files(FOLDER_ROW.sub("", prose(document)))  # a row about a folder is compared below
    assert not {each for each in named if not ((ROOT / each).exists() or (PACKAGE / each).exists())}


def test_the_search_for_files_finds_them() -> None:
    assert {"tests/test_layers.py", "systemd/", "install.sh"} <= named_files(text("CONTRIBUTING.md"))
    assert {"web/frames.py", "sse.py", "static/live.js", "owner/"} <= named_files(text(ARCHITECTURE))
    assert "storage/rate_limit.py" in named_files(text("SECURITY.md"))


def test_the_architecture_names_each_module_in_the_row_of_its_folder() -> None:
    named = {row[1]: set(re.findall(r"`(\w+\.py)`", row[0])) for row in FOLDER_ROW.finditer(text(ARCHITECTURE))}
    there = {
        folder.name: {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        for folder in PACKAGE.iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert named == there
    at_the_root = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert at_the_root <= named_files(FOLDER_ROW.sub("", text(ARCHITECTURE)))


def test_the_architecture_gives_the_order_of_imports_that_the_layers_keep() -> None:
    (order,) = re.findall(r"^ {4}(\w+(?: < \w+)+)$", text(ARCHITECTURE), re.MULTILINE)
    built = [each for each in FLOW if (PACKAGE / each).is_dir() or (PACKAGE / f"{each}.py").is_file()]
    assert order.split(" < ") == built


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"(?:^ {4}(?:[A-Z_]+=\S+ )?|`)make (\w+)", text(document), re.MULTILINE))
    there = set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))
    assert named <= there
    if document in ("README.md", "CONTRIBUTING.md"):
        assert {"run", "quick", "test", "check"} <= named


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading_in_it(document: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose(document)) if not link.startswith("http")]
    for link in links:
        path, _, anchor = link.partition("#")
        target = ((ROOT / document).parent / path).resolve() if path else ROOT / document
        assert target.is_file(), link
        assert not anchor or anchor in anchors(str(target.relative_to(ROOT))), link
    assert len(links) >= 3 or document not in ("README.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("document", LENGTHS)
def test_a_document_for_engineers_stays_short(document: str) -> None:
    assert len(text(document).split()) < LENGTHS[document]
