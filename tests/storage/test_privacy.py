"""Only files of the appliance are taken away from other users."""

from __future__ import annotations

from pathlib import Path

from kindle_appliance.storage.privacy import keep_private

OURS = (
    "lock",
    "pin-secret",
    "owner-secret",
    "chats.sqlite",
    "chats.sqlite-wal",
    "chats.sqlite-shm",
    "chats-damaged-2026-11-29-2.sqlite",
    "chats-damaged-2026-11-29.sqlite-wal",
    "before-restore.sqlite",
    "before-restore.sqlite-journal",
)
OTHERS = (
    "chats-family.sqlite",
    "chats2.sqlite",
    "chatsapp.sqlite3",
    "chats.sqlite.bak",
    "chats-damaged-in-the-flood.sqlite",
    "lock.txt",
)


def test_files_of_somebody_else_in_the_folder_keep_their_modes(tmp_path: Path) -> None:
    for name in (*OURS, *OTHERS):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    keep_private(tmp_path)
    modes = {name: oct((tmp_path / name).stat().st_mode & 0o777) for name in (*OURS, *OTHERS)}
    assert modes == dict.fromkeys(OURS, "0o600") | dict.fromkeys(OTHERS, "0o644")
