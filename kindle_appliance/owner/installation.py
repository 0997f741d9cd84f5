"""An installed appliance: where its files lie, and what systemd tells the service about them.

The installed command answers for the service: it looks where the service looks. It knows that it is installed by
the place that it runs from; below another root it is one too, which is how tests move it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import StartError
from ..settings import CREDENTIALS, OPTIONS

SERVICE = "kindle-appliance.service"
SOCKET = "kindle-appliance.socket"


@dataclass(frozen=True)
class Installation:
    """The appliance that is installed below `root`."""

    root: Path = Path("/")

    @classmethod
    def find(cls, place: Path) -> Installation | None:
        """The installation that a program belongs to; `place`: the folder that it runs from (sys.prefix)."""
        for folder in (place, *place.parents):
            if folder.parts[-2:] == cls().program.parts[-2:]:
                return cls(folder.parents[1])
        return None

    @property
    def program(self) -> Path:
        """The program, its versions side by side."""
        return self.root / "opt/kindle-appliance"

    @property
    def folder(self) -> Path:
        """What the owner decides; its files are systemd's credentials for the service (LoadCredential=)."""
        return self.root / "etc/kindle-appliance"

    @property
    def settings(self) -> Path:
        return self.folder / "settings.toml"

    @property
    def state(self) -> Path:
        """The chats: the state directory of a dynamic user. systemd keeps it under /var/lib/private, where root
        alone gets through, and makes this link to it.
        """
        return self.root / "var/lib/kindle-appliance"

    def secret(self, name: str) -> Path:
        """The file of the `key` or the `pin`; an empty one means that there is none."""
        return self.folder / CREDENTIALS[name]

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment for a command: as systemd would set it for the service. Settings in the shell's own
        (`given`) are left out, because the service does not know them.
        """
        if "CREDENTIALS_DIRECTORY" in given:  # this is the service
            return dict(given)
        ours = {option.env for option in OPTIONS} | {"KINDLE_APPLIANCE_CONFIG"}
        told = {"CREDENTIALS_DIRECTORY": str(self.folder), "STATE_DIRECTORY": str(self.state)}
        return {name: value for name, value in given.items() if name not in ours} | told

    def may_look(self) -> bool:
        """Whether this user may look where the service looks."""
        try:
            self.secret("key").open("rb").close()
        except PermissionError:
            return False
        except OSError:
            pass  # half installed: what needs it will say so
        return True

    def check_rights(self, command: str) -> None:
        """Raises `StartError` unless this user may look there."""
        if not self.may_look():
            raise StartError(
                f"only root may read the settings and chats of the service: sudo kindle-appliance {command}"
            )
