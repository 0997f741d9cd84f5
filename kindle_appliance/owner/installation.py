"""The paths of an installed appliance, and the environment that systemd gives its service.

The installed command uses the settings, secrets and chats of the service. It recognizes by the folder from which it
runs that it is installed. That folder may lie below another root directory, which tests use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import StartError
from ..options.credentials import CREDENTIALS, KEYS_CREDENTIAL
from ..settings import OPTIONS

SERVICE = "kindle-appliance.service"
SOCKET = "kindle-appliance.socket"


@dataclass(frozen=True)
class Installation:
    """The appliance that is installed below the directory `root`."""

    root: Path = Path("/")

    @classmethod
    def find(cls, place: Path) -> Installation | None:
        """Return the installation of the program that runs from the folder `place` (sys.prefix), if it has one."""
        for folder in (place, *place.parents):
            if folder.parts[-2:] == cls().program.parts[-2:]:
                return cls(folder.parents[1])
        return None

    @classmethod
    def build(cls, place: Path) -> str:
        """The name of the version's folder that a program runs from, such as 0.2.0-2a60944b-py3.11; else ""."""
        found, folder = cls.find(place), place.resolve()
        return folder.name if found and folder.parent == (found.program / "versions").resolve() else ""

    @property
    def program(self) -> Path:
        """The folder of the program, with one subfolder for each version."""
        return self.root / "opt/kindle-appliance"

    @property
    def folder(self) -> Path:
        """The folder of the settings and secrets; systemd passes its files to the service (LoadCredential=)."""
        return self.root / "etc/kindle-appliance"

    @property
    def settings(self) -> Path:
        return self.folder / "settings.toml"

    @property
    def state(self) -> Path:
        """The folder of the chats: the state directory of a dynamic user.

        It is a link that systemd makes. The directory itself is under /var/lib/private, which only root can enter.
        """
        return self.root / "var/lib/kindle-appliance"

    def secret(self, name: str) -> Path:
        """The file with the `key` or the `pin`; it is empty if there is none."""
        return self.folder / CREDENTIALS[name]

    @property
    def keys(self) -> Path:
        """The folder with a file for the key of each other model server."""
        return self.folder / KEYS_CREDENTIAL

    @property
    def unit(self) -> Path:
        """The unit of the service, which may be that of an earlier version."""
        return self.root / "etc/systemd/system" / SERVICE

    @property
    def handed_over(self) -> Path:
        """The folder of the copies that systemd gave to the running service; only root and the service can read it.

        They are those of its start (systemd.exec(5), "Credentials"), whatever has been stored since.
        """
        return self.root / "run/credentials" / SERVICE

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the environment for a command, as systemd would set it for the service.

        Settings in the shell's environment (`given`) are left out, because the service does not get them.
        """
        if "CREDENTIALS_DIRECTORY" in given:  # this process is the service
            return dict(given)
        setting_names = {option.env for option in OPTIONS} | {"KINDLE_APPLIANCE_CONFIG"}
        from_systemd = {"CREDENTIALS_DIRECTORY": str(self.folder), "STATE_DIRECTORY": str(self.state)}
        return {name: value for name, value in given.items() if name not in setting_names} | from_systemd

    def may_look(self) -> bool:
        """Whether this user may read the files of the service."""
        try:
            self.secret("key").open("rb").close()
        except PermissionError:
            return False
        except OSError:
            pass  # an incomplete installation: the command that needs the file will report it
        return True

    def check_rights(self, command: str) -> None:
        """Raise `StartError` unless this user may read the files of the service."""
        if not self.may_look():
            raise StartError(
                f"only root may read the settings and chats of the service: sudo kindle-appliance {command}"
            )
