"""Stores a secret in a file that is never readable to others and never half written."""

from __future__ import annotations

import os
from pathlib import Path


def store(path: Path, secret: str) -> bool:
    """Replace the content of `path` with `secret` ("" for none) atomically, and return whether that changed it.

    Raises OSError; the file is then unchanged.
    """
    text = f"{secret}\n" if secret else ""
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
        path.chmod(0o600)
        return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # a power cut may have left one
    fresh.touch(0o600, exist_ok=False)
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return True
