"""What another user puts under the names that root's commands use: nothing of it is followed, and nothing hangs.

The names are not listed here. A trace of each command tells them, so a new name is planted at by itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import unavailable
from fakes.chats import write_chats
from fakes.installed import Installed

from kindle_appliance.errors import StartError
from kindle_appliance.owner import commands
from kindle_appliance.settings import Settings
from kindle_appliance.storage.backup import back_up
from kindle_appliance.storage.book_files import Limits
from kindle_appliance.storage.lock import FolderLock, announced_url

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SERVICE, OTHER = 61234, 61235
"""The user of the service, and another one of this machine."""

COMMANDS = {
    "backup": ("backup", "--with-books", "FILE"),
    "restore": ("restore", "FILE"),
    "roll-back": ("restore", "--roll-back", "FILE"),
    "doctor": ("doctor",),
    "settings": ("settings",),
    "serve": ("serve", "--port", "8099"),
}


@pytest.fixture(autouse=True)
def as_root() -> None:
    if os.geteuid() != 0:
        unavailable("only root has rights to give up")


NEW, OLD = (f"{sha256(content).hexdigest()}.epub" for content in (b"a new book", b"an old book"))
"""Books: one that only the backup has, and one that is on the shelf, too."""


@dataclass(frozen=True)
class Place:
    """An installed appliance whose chats are the service's, a backup in another user's folder, and root's files."""

    installed: Installed
    out: Path
    victims: Path

    @property
    def state(self) -> Path:
        return self.installed.at.state

    @property
    def file(self) -> Path:
        return self.out / "backup"

    def set_up(self) -> None:
        """Make both folders as they were."""
        for folder, owner in ((self.state, SERVICE), (self.out, OTHER)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            os.chown(folder, owner, owner)
        shutil.copy(self.victims.parent / "chats", self.state / "chats.sqlite")
        os.chown(self.state / "chats.sqlite", SERVICE, SERVICE)
        shutil.copy(self.victims.parent / "good", self.file)
        _put_books(self.state, OLD)
        for each in (self.state / "books", self.state / "books" / OLD):
            os.chown(each, SERVICE, SERVICE)

    def found(self) -> dict[str, tuple[object, ...]]:
        """All that can be told of root's files."""
        return {
            str(each): (status.st_mode, status.st_uid, status.st_gid, each.is_file() and each.read_bytes())
            for each in [self.victims, *sorted(self.victims.rglob("*"))]
            if (status := each.lstat())
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("planted")
    write_chats(root / "made" / "chats.sqlite", "Why?", "海?")
    _put_books(root / "made", NEW, OLD)
    back_up(root / "made", root / "good", {}, with_books=True)
    shutil.copy(root / "made" / "chats.sqlite", root / "chats")
    victims = root / "victims"
    (victims / "folder").mkdir(parents=True)
    for each in (victims / "issue", victims / "folder" / "file"):
        each.write_text("Debian GNU/Linux\n")
        each.chmod(0o644)
    return Place(Installed(root / "machine"), root / "out", victims)


def _put_books(state: Path, *names: str) -> None:
    (state / "books").mkdir(mode=0o700)
    for name in names:
        (state / "books" / name).write_bytes(b"a new book" if name == NEW else b"an old book")
        (state / "books" / name).chmod(0o600)


def link_to_a_file(path: Path, victims: Path) -> None:
    path.symlink_to(victims / "issue")


def link_to_a_folder(path: Path, victims: Path) -> None:
    path.symlink_to(victims / "folder")


def link_to_nothing(path: Path, victims: Path) -> None:
    path.symlink_to(victims / "new")


def second_name_of_a_file(path: Path, victims: Path) -> None:
    path.hardlink_to(victims / "issue")


def pipe(path: Path, victims: Path) -> None:
    os.mkfifo(path)
    os.chown(path, SERVICE, SERVICE)


def folder(path: Path, victims: Path) -> None:
    path.mkdir()
    os.chown(path, SERVICE, SERVICE)
    (path / "full").touch()


PLANTS: tuple[Callable[[Path, Path], None], ...] = (
    link_to_a_file,
    link_to_a_folder,
    link_to_nothing,
    second_name_of_a_file,
    pipe,
    folder,
)

_FOLDER = r'(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, "(?P<below>[^"]*)"'
_PATH = re.compile(rf'{_FOLDER}|[(,] ?"(?P<path>/[^"]*)"')


def names(place: Place, *command: str) -> set[Path]:
    """The paths in both folders that a command touches, whether there is something or not."""
    if not shutil.which("strace"):
        unavailable("there is no strace")
    runs = []
    for _ in range(2):  # what is in both runs has no random name
        place.set_up()
        trace = place.victims.parent / "trace"
        arguments = [str(place.file) if each == "FILE" else each for each in command]
        place.installed.run(
            *arguments, through=["strace", "-f", "-y", "-e", "trace=%file,fchdir", "-o", str(trace)]
        )
        runs.append(set(_touched(trace.read_text(errors="replace"))))
    near = (place.state, place.out)
    return {each for each in runs[0] & runs[1] if any(folder in each.parents for folder in near)}


def _touched(trace: str) -> Iterator[Path]:
    """A call is in two parts, without its bracket in the first, if another process makes one in between."""
    roots: dict[str, str] = {}
    last: dict[str, str] = {}
    for line in trace.splitlines():
        process, _, call = line.partition(" ")
        root = roots.get(process, "")
        if entered := re.search(r"fchdir\(\d+<([^>]*)>", call):
            last[process] = entered[1]
        elif 'chroot("."' in call:
            roots[process] = last[process]
        else:
            for each in _PATH.finditer(call):
                path = each["path"] or each["below"]
                yield Path(f"{root}{path}" if path.startswith("/") else f"{each['folder']}/{path}")


def run(place: Place, name: str) -> None:
    """Run one command in this process, which is faster than the real program."""
    match name:
        case "backup":
            commands.back_up(place.state, place.file, None, False, with_books=True)
        case "restore" | "roll-back":
            commands.restore(place.state, place.file, None, False, name == "roll-back", Limits(500, 10**9))
        case "doctor":
            commands.consult_doctor(Settings(mdns=False), None, place.state, False)
        case "serve":
            FolderLock(place.state).close()
        case _:
            raise AssertionError(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_planted_under_any_name_that_a_command_uses_is_followed(
    place: Place, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    touched = names(place, *COMMANDS[name])
    assert bool(touched) == (name not in ("settings", "serve")), touched
    if name == "restore":
        known = {"lock", "chats.sqlite", "chats.sqlite-wal", "before-restore.sqlite", "books", "incoming", NEW, OLD}
        assert known <= {each.name for each in touched}
    before = place.found()
    for path in sorted(touched):
        for plant in PLANTS:
            place.set_up()
            if path == place.file and name != "backup" and plant is folder:
                continue
            _clear(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            plant(path, place.victims)
            said = ""
            try:
                run(place, name)
            except StartError as error:
                said = str(error)
            assert place.found() == before, f"{plant.__name__} at {path}"
            assert "\n" not in said and "Errno" not in said, said
            assert not said or str(place.state) in said or str(place.out) in said, said
            print(f"{name}: {plant.__name__} at {path.name}: {said or 'done'}")
    assert shutil.rmtree.avoids_symlink_attacks


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def test_a_link_at_the_lock_does_not_give_roots_file_to_the_service(place: Place) -> None:
    place.set_up()
    before = place.found()
    (place.state / "lock").symlink_to(place.victims / "issue")
    for command in (("restore", str(place.file)), ("serve", "--port", "8099")):
        status, printed, errors = place.installed.run(*command)
        assert place.found() == before
        assert status == 1, printed
        assert re.fullmatch(r"kindle-appliance: .*\n", errors)
    assert f"{place.state}/lock" in place.installed.run("restore", str(place.file))[2]


def test_a_link_instead_of_the_chats_is_not_backed_up(place: Place, tmp_path: Path) -> None:
    place.set_up()
    write_chats(tmp_path / "secret.sqlite", "Root's own question?")
    (place.state / "chats.sqlite").unlink()
    (place.state / "chats.sqlite").symlink_to(tmp_path / "secret.sqlite")
    status, _, errors = place.installed.run("backup", str(tmp_path / "backup"))
    assert status == 1
    assert errors == f"kindle-appliance: {place.state}/chats.sqlite: This is a link, and not a plain file.\n"
    assert not (tmp_path / "backup").exists()


def test_the_files_after_a_restore_belong_to_the_service_and_are_private(place: Place) -> None:
    place.set_up()
    (place.state / "chats.sqlite").chmod(0o644)
    for command in (("restore", str(place.file)), ("restore", "--roll-back", str(place.file)), ("doctor",)):
        place.installed.run(*command)
        for each in place.state.rglob("*"):
            status, mode = each.stat(), 0o700 if each.is_dir() else 0o600
            assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (SERVICE, SERVICE, mode), each
    files = {each.name for each in place.state.rglob("*") if each.is_file()}
    assert files == {"chats.sqlite", "before-restore.sqlite", "lock", NEW, OLD}


def test_a_backup_into_another_users_folder_is_roots_alone(place: Place) -> None:
    place.set_up()
    status, _, errors = place.installed.run("backup", str(place.file))
    assert (status, errors) == (0, "")
    found = place.file.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o600)
    assert [each.name for each in place.out.iterdir()] == ["backup"]


def test_the_folder_of_the_chats_may_be_roots_link_and_no_other(place: Place, tmp_path: Path) -> None:
    place.set_up()
    link = tmp_path / "state"
    link.symlink_to(place.state)
    assert commands.back_up(link, tmp_path / "backup", None, False) == 0
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(StartError, match="is a link, and not one of root's"):
        commands.back_up(link, tmp_path / "backup", None, False)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_no_address_is_read_from_what_is_not_a_lock(
    place: Place, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    plant(tmp_path / "lock", place.victims)
    assert announced_url(tmp_path) is None


def test_a_process_that_has_given_up_root_loads_no_code_of_the_folders_owner(place: Place) -> None:
    place.set_up()
    marker = "kindle_appliance_planted"
    script = (
        "import sys; from pathlib import Path; from kindle_appliance.host.confinement import as_owner\n"
        "def work(access):\n"
        "    access.settle()\n"
        f"    try: import {marker}\n"
        "    except ImportError: return 'none'\n"
        "    return 'loaded'\n"
        f"sys.path.insert(0, '/'); print(as_owner(Path({str(place.state)!r}), work))"
    )
    (place.state / f"{marker}.py").touch()
    done = subprocess.run([place.installed.python, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "none\n"
