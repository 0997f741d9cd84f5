"""Writes backups and restores them.

A backup is one SQLite file: the chats, and in extra tables the settings and, on request, the secrets and the books.

The chats are read and written with the rights of their folder's owner (`storage/folder.py`), and a backup is a
stranger's file (`storage/transfer.py`): rows are copied, never files, and of those of books only files with the
right content become (`storage/book_files.py`). The appliance may run during a backup.

A restore first copies the rows of the backup to a file beside the chats and migrates it to the current schema
there. Only when that has succeeded are the chats saved under another name and then replaced, in one transaction. So
no file is replaced while a process has it open. Books of the backup join those that are there, before the chats are
replaced: a power cut leaves the old chats and more books, and never new chats without their books.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import StartError, StorageError
from ..host.confinement import Access, as_owner
from ..host.plain_files import PRIVATE, check_plain, close_folder, make_private, open_folder, sync, workshop
from . import book_files
from .book_files import Limits, Unpacked
from .database import (
    Connection,
    Database,
    Inspection,
    as_storage_error,
    attach,
    compact,
    copy,
    inspect,
    seed,
)
from .folder import BOOKS_FOLDER, CHATS_FILE, SUFFIXES, check_names, find_chats, no_chats
from .lock import FolderLock, FolderTaken
from .schema import CHATS
from .shelf_layout import kept_free
from .transfer import (
    BELONGINGS,
    UnreadableFile,
    check_content,
    check_tables,
    copy_rows,
    guard,
    new_file,
    read_belongings,
)

KEPT = "before-restore.sqlite"
"""The file, in the folder of the chats, that keeps the chats from before a restore."""

MOST_BYTES = 2 * 1024**3
"""Of a backup without its books; a question with its answer has some 3 KB."""
_ROOM = 3
"""A restore needs this many times the size of the chats: two copies, and the log of the transaction. A book is
copied once, and gets an index."""
_NO_BOOKS = Limits(0, 0)


class Saved(NamedTuple):
    """What is in a backup: what an inspection of the chats found, how many rows had to be left out, the books, and
    how many of them were left out because they are damaged, or no files. `others`: the books that are there, if
    none were asked for.
    """

    chats: Inspection
    left_out: int
    books: int = 0
    bad_books: int = 0
    others: int = 0


class Restored(NamedTuple):
    """What a restore has brought: the settings and secrets, by name; how many rows were left out because they
    cannot be used; and the numbers of books, as `Unpacked` counts them.
    """

    belongings: dict[str, str]
    left_out: int
    books: dict[str, int]


def back_up(folder: Path, file: Path, belongings: Mapping[str, bytes], with_books: bool = False) -> Saved:
    """Write a backup of the chats in `folder` to `file`, and of the books there `with_books`.

    Only the owner can read the file. It replaces an earlier one only when it is complete. `belongings`: the
    settings and secrets that are stored with the chats, by name. With the books, as much of the card stays free as
    the shelf leaves; that is looked at once, before they are written. Raises OSError, `OwnerError` or `StartError`.
    """
    _refuse_same(folder, file)
    if not folder.is_dir():
        raise no_chats(folder)
    if file.is_dir():
        raise StartError(f"{file} is a folder. Name a file in it.")
    with workshop(file) as (place, descriptor):

        def work(access: Access) -> list[Any]:
            seed()
            with _named(file), closing(new_file(access.visit(place, descriptor) / file.name)) as new:
                here = access.settle()
                try:
                    chats = find_chats(here)
                except FileNotFoundError:
                    raise no_chats(folder) from None
                found = _inspect(chats, folder)
                with closing(attach(chats)) as old:
                    left_out = _fill(new, old, found.version, belongings)
                shelf = here / BOOKS_FOLDER  # the chats are closed by now: large books take their time
                if with_books:
                    _check_room(descriptor, file, shelf)
                    return [asdict(found), left_out, *_pack(new, shelf)]
                return [asdict(found), left_out, 0, 0, len(book_files.find_books(shelf).sizes)]

        try:
            found, *counts = as_owner(folder, work)
        except UnreadableFile as error:
            raise StartError(f"the chats in {folder} are damaged: {error}.") from error
    return Saved(Inspection(**found), *counts)


def restore(
    file: Path, folder: Path, known: Collection[str], as_it_was: bool = False, limits: Limits = _NO_BOOKS
) -> Restored:
    """Replace the chats in `folder`, which nobody else may be using, with those of a backup, and put its books on
    the shelf there, within `limits`.

    `known`: the names that belongings may have. `as_it_was`: leave the chats in the version of the backup, for an
    earlier program, keep nothing of those replaced, and take no books. Raises OSError, `OwnerError` or
    `StartError`; the chats are then unchanged, and books have joined the shelf at most.
    """

    def work(old: Connection, here: Path, version: int, books: Unpacked) -> list[Any]:
        belongings = read_belongings(old, known)
        try:
            lock = FolderLock(here, folder)
        except FolderTaken:
            raise StartError(f"an appliance is using the chats in {folder}. Stop it first.") from None
        with lock, _named(folder), books.unpack(old):
            books.settle()  # first: books only join, and the next try finds them there
            left_out = _replace(old, version, here / CHATS_FILE, as_it_was)
        return [belongings, left_out, books.counts()]

    return Restored(*_open_backup(file, folder, _NO_BOOKS if as_it_was else limits, work))


def check(file: Path, folder: Path, known: Collection[str], limits: Limits = _NO_BOOKS) -> None:
    """Raise `StartError` unless `file` is a whole backup that this version can restore to `folder`."""

    def work(old: Connection, *_: object) -> None:
        read_belongings(old, known)

    _open_backup(file, folder, limits, work)


def _open_backup(
    file: Path, folder: Path, limits: Limits, work: Callable[[Connection, Path, int, Unpacked], Any]
) -> Any:
    """Call `work` with a connection to a stranger's file that was checked, the path of the folder of the chats, the
    version of the file, and the books that it would bring there.
    """
    _refuse_same(folder, file)
    status = check_plain(file)
    if status is None:
        raise StartError(f"there is no file {file}.")
    for suffix in ("-wal", "-journal"):
        beside = check_plain(other := file.with_name(file.name + suffix))
        if beside and beside.st_size:
            raise StartError(f"{file} is not whole: {other} belongs to it. Make a backup with the command for it.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = open_folder(file.parent)

    def enter(access: Access) -> Any:
        seed()
        with closing(attach(access.visit(file.parent, descriptor) / file.name, is_finished=True)) as old:
            here = access.settle()
            try:
                guard(old)
                version = check_tables(old, CHATS)
                size = status.st_size - book_files.size_of_books(old, status.st_size)
                if size > MOST_BYTES:
                    raise UnreadableFile(f"its chats have {_mb(size)} MB")
                books = book_files.choose(old, here / BOOKS_FOLDER, limits)
                whole, _, free = shutil.disk_usage(here)
                needed = _ROOM * size + (books.needed + kept_free(whole) if books.new else 0)
                if free < needed:
                    raise StartError(f"{_mb(free)} MB are free for {folder}, and a restore needs {-_mb(-needed)}.")
                check_content(old, CHATS, version)
                return work(old, here, version, books)
            except UnreadableFile as error:
                raise StartError(f"{file} is not a good backup: {error}.") from error

    try:
        return as_owner(folder, enter)
    finally:
        close_folder(descriptor)


def _inspect(chats: Path, folder: Path) -> Inspection:
    found = inspect(chats, CHATS)
    if found.trouble:
        if found.is_out_of_reach:
            raise StartError(f"the chats in {folder} cannot be reached: {found.trouble}.")
        raise StartError(
            f"the chats in {folder} are damaged: {found.trouble}. The appliance saves what can be read when it"
            " starts. Restart it, and back up then."
        )
    if found.version > CHATS.version:
        raise StartError(f"the chats in {folder} belong to a newer version of the appliance. Use that one.")
    return found


def _fill(new: Connection, old: Connection, version: int, belongings: Mapping[str, bytes]) -> int:
    """Write a backup into an empty file, without books; returns how many rows were left out.

    It is not migrated: after a failed upgrade the earlier version gets these chats back.
    """
    with as_storage_error():
        CHATS.migrate(new, version)
        new.execute("BEGIN")
    guard(old)
    old.execute("BEGIN")  # one moment, whatever the appliance writes meanwhile
    left_out = copy_rows(old, new, CHATS, version)
    with as_storage_error():
        new.execute(BELONGINGS)
        new.executemany("INSERT INTO belongings VALUES (?, ?)", belongings.items())
        new.execute("COMMIT")
    return left_out


def _check_room(card: int, file: Path, shelf: Path) -> None:
    """Raise `StartError` if the card of an open folder has no room for the books."""
    whole, _, free = shutil.disk_usage(card)
    size = sum(book_files.find_books(shelf).sizes.values())
    needed = size + size // 100 + kept_free(whole)  # SQLite adds less than a hundredth
    if size and free < needed:
        raise StartError(f"{_mb(free)} MB are free for {file}, and a backup with the books needs {-_mb(-needed)}.")


def _pack(new: Connection, shelf: Path) -> tuple[int, int]:
    with as_storage_error():
        new.execute("BEGIN")
        counts = book_files.pack(shelf, new)
        new.execute("COMMIT")
    return counts


def _replace(old: Connection, version: int, chats: Path, as_it_was: bool) -> int:
    with _temporary_file(chats.with_name(".restore.sqlite")) as fresh:
        with closing(Database(fresh, CHATS.at(version))) as database, database.write() as new:
            left_out = copy_rows(old, new, CHATS, version)
        if not as_it_was:
            Database(fresh, CHATS).close()
            with as_storage_error(), closing(attach(fresh)) as new:
                CHATS.derive(new)  # some rows may have been left out
        compact(fresh)
        kept = chats.with_name(KEPT)
        found = inspect(chats, CHATS) if check_names(chats) else None
        if found and not found.trouble:
            if not as_it_was:
                with _temporary_file(chats.with_name(".keep.sqlite")) as copied:
                    _keep(chats, found.version, copied)
                    copied.replace(kept)
            copy(fresh, chats)
            make_private(chats)
        else:  # there are no chats, or SQLite cannot read them
            for suffix in SUFFIXES:
                if (broken := chats.with_name(chats.name + suffix)).exists() and not as_it_was:
                    broken.replace(kept.with_name(kept.name + suffix))
            _delete(chats)
            fresh.replace(chats)
    return left_out


def _keep(chats: Path, version: int, file: Path) -> None:
    """Write a backup of the chats without belongings, which can be restored like any other."""
    if version > CHATS.version:  # a newer program's: only that one can restore them
        copy(chats, file)
        return
    with closing(new_file(file)) as new, closing(attach(chats)) as old:
        _fill(new, old, version, {})
    sync(file)


def _refuse_same(folder: Path, file: Path) -> None:
    chats = folder / CHATS_FILE
    if file.absolute() == chats.absolute() or (file.exists() and chats.exists() and file.samefile(chats)):
        raise StartError(f"{file} are the chats themselves. Name another file.")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file or folder in trouble with writing it."""
    try:
        yield
    except StorageError as error:
        raise StartError(f"{path} cannot be written: {error.detail}.") from error


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """Create an empty file that only its owner can read, and delete it afterwards if it is still there."""
    _delete(path)  # a power cut may have left one
    path.touch(PRIVATE, exist_ok=False)
    try:
        yield path
    finally:
        _delete(path)


def _delete(path: Path) -> None:
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _mb(size: int) -> int:
    return size // 1_000_000
