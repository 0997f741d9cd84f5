"""Measures the memory of the program, a minute after its start. `make bench` prints it, for this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from appliance import lan
from appliance.memory import AT_MOST, resident_after


def main() -> None:
    """Print the figure with its target in parentheses, or why it cannot be measured here."""
    print(
        "Memory a minute after the start, with the name announced and an English answer read:", end=" ", flush=True
    )
    if reason := lan.missing():
        print(f"not measured. {reason}")
        return
    with tempfile.TemporaryDirectory() as folder, lan.Lan(Path(folder)) as network:
        print(f"{resident_after(network, 60):.1f} MB (at most {AT_MOST})")


if __name__ == "__main__":
    main()
