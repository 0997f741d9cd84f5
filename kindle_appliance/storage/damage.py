"""What a damaged card does to stored text and to whole files, and the record of what was saved.

A damaged file is set aside under a name with the date, and a record stands beside it as long as it lies there. So
the pages, the doctor and a later start know what happened, whatever has become of the database.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from ..clock import face, is_believed
from ..sentences import Sentence

LAST_MOMENT = 253402214400.0
"""The end of the year 9999, less a day for any time zone: a later Unix time can only be damage."""

_TOLD_SECONDS = 7 * 86400.0
_HOLE = "\ufffd"
_HOLES = re.compile(f"{_HOLE}(?:[^{_HOLE}]{{0,15}}{_HOLE})*")
_ERASED = "\0" * 64


class Damaged(str):
    """Text that can be read in parts only; `\ufffd` stands in the place of each other part."""

    __slots__ = ()


def decode(raw: bytes) -> str:
    """Stored text; a `Damaged` one where it is not UTF-8, or has been erased."""
    try:
        text = raw.decode()
        if _ERASED not in text:
            return text
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
    return Damaged(_HOLES.sub(_HOLE, re.sub("\0+", _HOLE, text)))


@dataclass(frozen=True)
class Damage:
    """What became of a damaged file. `moment`: Unix time; `file`: the name under which it was set aside ("": it
    could not be); `saved`: the questions that could be saved.
    """

    moment: float
    file: str
    saved: int

    def sentence(self, now: float) -> Sentence | None:
        """What readers are told, for a week; if it is not known when that began, as long as the file lies there."""
        if not self.file:
            return Sentence(
                "The card has damaged the chats, and takes nothing new. What can still be read is shown, but"
                " nothing can be asked. The owner's doctor command says more."
            )
        if is_believed(self.moment) and not 0 <= now - self.moment < _TOLD_SECONDS:
            return None
        if not self.saved:
            return Sentence("The card had damaged the chats. Nothing of them could be saved.")
        return Sentence(
            "The card had damaged the chats. %(count)d question was saved; others may be lost.",
            plural="The card had damaged the chats. %(count)d questions were saved; others may be lost.",
            count=self.saved,
        )

    def facts(self) -> dict[str, object]:
        """As values for JSON."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Keep the record. Raises OSError."""
        (folder / self.file).with_suffix(".json").write_text(json.dumps(self.facts()), encoding="utf-8")


def latest_damage(file: Path) -> Damage | None:
    """The record of the last damage to the database `file`, of those whose damaged files still lie there."""
    found = []
    for record in file.parent.glob(f"{file.stem}-damaged-*.json"):
        try:
            values = json.loads(record.read_text(encoding="utf-8"))
            damage = Damage(float(values["moment"]), record.with_suffix(file.suffix).name, int(values["saved"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if (file.parent / damage.file).exists():
            found.append(damage)
    return max(found, key=lambda each: each.moment, default=None)


def name_for_damaged(file: Path, most: int) -> Path | None:
    """Where the damaged database `file` is set aside; None if `most` already lie there."""
    day = face("%Y-%m-%d")
    if len(list(file.parent.glob(f"{file.stem}-damaged-*{file.suffix}"))) >= most:
        return None
    for number in range(1, most + 1):
        name = f"{file.stem}-damaged-{day}{f'-{number}' if number > 1 else ''}{file.suffix}"
        if not any(each.name.startswith(name) for each in file.parent.iterdir()):
            return file.with_name(name)
    return None
