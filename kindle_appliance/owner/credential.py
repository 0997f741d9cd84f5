"""Stores a secret in a file that is never readable to others and never half written."""

from __future__ import annotations

from pathlib import Path

from ..host.plain_files import check_plain, make_private, read_plain, write_private


def store(path: Path, secret: str) -> bool:
    """Replace the content of `path` with `secret` ("" for none) atomically, and return whether that changed it.

    Raises OSError; the file is then unchanged.
    """
    content = f"{secret}\n".encode() if secret else b""
    if check_plain(path) and read_plain(path, len(content) + 1) == content:
        make_private(path)
        return False
    write_private(path, content)
    return True
