"""A secret as a file: tried before it is stored, and at no moment readable to others or half written."""

from __future__ import annotations

import os
from pathlib import Path


def store(path: Path, secret: str) -> bool:
    """Put `secret` in the place of what `path` holds, at once or not at all; "" for none. Says whether that changed
    anything. Raises OSError.
    """
    text = f"{secret}\n" if secret else ""
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
        path.chmod(0o600)
        return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # of a power cut
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
