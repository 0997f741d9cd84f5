"""Which files of the folders that the owner names are sent to the shelf."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kindle_appliance.owner import candidates
from kindle_appliance.owner.candidates import Candidates


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found(*places: Path) -> tuple[list[str], Candidates]:
    seen = Candidates()
    return [each.name for each in seen.find(places)], seen


def test_the_epubs_of_a_calibre_library_are_found_author_by_author_and_nothing_else_of_it(tmp_path: Path) -> None:
    make(
        tmp_path,
        "metadata.db",
        "metadata_db_prefs_backup.json",
        "Conan Doyle, Arthur/The Hound (12)/The Hound - Arthur Conan Doyle.epub",
        "Conan Doyle, Arthur/The Hound (12)/The Hound - Arthur Conan Doyle.azw3",
        "Conan Doyle, Arthur/The Hound (12)/The Hound - Arthur Conan Doyle.pdf",
        "Conan Doyle, Arthur/The Hound (12)/cover.jpg",
        "Conan Doyle, Arthur/The Hound (12)/metadata.opf",
        "austen, Jane/Emma (3)/Emma - Jane Austen.EPUB",
        "austen, Jane/Emma (3)/Emma - Jane Austen.mobi",
        ".caltrash/b/7/Gone - Nobody.epub",
        ".calnotes/notes.db",
        "._The Hound.epub",
    )
    names, seen = found(tmp_path)
    assert names == ["Emma - Jane Austen.EPUB", "The Hound - Arthur Conan Doyle.epub"]
    assert (seen.others, seen.links, seen.unread, seen.is_cut) == (3, 0, [], False)


def test_a_file_that_is_named_is_taken_whatever_its_name_and_in_the_order_given(tmp_path: Path) -> None:
    make(tmp_path, "b.mobi", "a.epub", ".hidden.epub", "folder/z.epub")
    places = [tmp_path / name for name in ("b.mobi", "missing.epub", "folder", ".hidden.epub", "a.epub")]
    assert found(*places)[0] == ["b.mobi", "missing.epub", "z.epub", ".hidden.epub", "a.epub"]


def test_links_in_a_folder_are_not_followed_and_those_on_the_way_to_it_are(tmp_path: Path) -> None:
    make(tmp_path, "disk/books/a.epub", "secret/b.epub")
    (tmp_path / "disk/books/loop").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/books/out").symlink_to(tmp_path / "secret")
    (tmp_path / "disk/books/b.epub").symlink_to(tmp_path / "secret/b.epub")
    (tmp_path / "disk/books/nothing").symlink_to(tmp_path / "none")
    (tmp_path / "home").symlink_to(tmp_path / "disk/books")
    names, seen = found(tmp_path / "home")
    assert names == ["a.epub"]
    assert seen.links == 3


def test_what_is_called_like_a_book_and_is_none_is_left_to_the_sender_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "unpacked.epub" / "inner.epub").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe.epub")
    assert found(tmp_path)[0] == ["pipe.epub", "unpacked.epub"]


def test_a_folder_that_cannot_be_read_is_told_and_the_others_are_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/a.epub", "b/b.epub")
    listed = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    names, seen = found(tmp_path)
    assert names == ["b.epub"]
    assert [str(error.filename) for error in seen.unread] == [str(tmp_path / "a")]


def test_a_walk_ends_after_so_many_entries_or_files_or_levels_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *(f"{number}.epub" for number in range(9)))
    monkeypatch.setattr(candidates, "_MOST_FILES", 5)
    names, seen = found(tmp_path)
    assert (len(names), seen.is_cut) == (5, True)
    monkeypatch.setattr(candidates, "_MOST_FILES", 9)
    assert found(tmp_path)[1].is_cut is False
    monkeypatch.setattr(candidates, "_MOST_ENTRIES", 7)
    names, seen = found(tmp_path)
    assert (len(names), seen.is_cut) == (7, True)
    make(tmp_path / "deep", "/".join(["x"] * 16) + "/a.epub", "/".join(["y"] * 17) + "/b.epub")
    monkeypatch.setattr(candidates, "_MOST_ENTRIES", 7000)
    names, seen = found(tmp_path / "deep")
    assert (names, seen.is_cut) == (["a.epub"], True)
