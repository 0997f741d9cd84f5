"""The settings file that the installer writes: every option is explained in it, with its default."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..settings import OPTIONS

_SET_BY_SYSTEMD = ("host", "port", "data", "key_file", "keys_folder", "pin_file")


def template(chosen: Mapping[str, object]) -> str:
    """A settings file for an installed appliance: `chosen` is set, every other option explained, with its default.
    What systemd decides there is left out.
    """
    lines = [
        "## The settings of the Kindle appliance. Take away the # before a line, change the line, and run:",
        "##     sudo systemctl restart kindle-appliance",
        "## Such a line has the default or, where nothing is set at first, an example.",
        "## Not in here are port, key and PIN. They have commands:",
        "##     sudo /opt/kindle-appliance/install.sh --port PORT",
        "##     sudo kindle-appliance key",
        "##     sudo kindle-appliance pin",
    ]
    for option in OPTIONS:
        if option.secret or option.name in _SET_BY_SYSTEMD:
            continue
        lines += ["", f"## {option.help[0].upper()}{option.help[1:]}; {option.kind.allowed}."]
        if option.name in chosen:
            lines.append(f"{option.name} = {json.dumps(chosen[option.name], ensure_ascii=False)}")
        elif option.instead_of:  # so that all lines with one # are valid together, too
            lines.append(f"## Only instead of {option.instead_of}, for example: {option.line}")
        else:
            lines.append(f"# {option.line}")
    return "\n".join(lines) + "\n"
