"""Measures how much an event stream sends for a text. `make bench` prints it; the figure depends on no machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fakes.essay import ESSAY, follow_essay
from fakes.gemini import FakeGemini
from fakes.house import House


def main() -> None:
    """Print each figure with its target in parentheses."""
    print("Bytes of events for each byte of an essay:")
    for per_second, most in ((100, 4), (40, 6)):
        with tempfile.TemporaryDirectory() as name, FakeGemini() as gemini, House(gemini.url, Path(name)) as house:
            follow = follow_essay(house, gemini, per_second)
        times = len(follow.body) / len(ESSAY.encode())
        print(f"  at {per_second} characters a second: {times:.2f} (at most {most})", flush=True)


if __name__ == "__main__":
    main()
