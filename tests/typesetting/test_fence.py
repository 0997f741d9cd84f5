"""The lines of an open fence are told apart from its end without the Markdown library."""

from __future__ import annotations

import pytest

from kindle_appliance.typesetting.fence import OpenFence, fence_begun_by


@pytest.mark.parametrize(
    ("line", "markup"),
    [
        ("```\n", "```"),
        ("````python\n", "````"),
        ("~~~ a ` b\n", "~~~"),
        ("``` a ` b\n", None),
        ("``\n", None),
        (" ```\n", None),
        ("a ```\n", None),
    ],
)
def test_a_fence_begins_with_three_marks(line: str, markup: str | None) -> None:
    fence = fence_begun_by(line)
    assert (fence and fence.markup) == markup


@pytest.mark.parametrize("prefix", ["", "  ", "> ", "  > "])
def test_a_line_is_code_unless_it_may_end_the_fence_or_the_block_around_it(prefix: str) -> None:
    fence = OpenFence(prefix, 0, "````", 1)
    for code in ("a\n", "  a\n", "```\n", "~~~~\n", "a ````\n"):
        assert fence.holds(prefix + code)
        assert fence.holds(code) == (not prefix or code.startswith(prefix))
    assert fence.holds(prefix.rstrip() + "\n")
    for end in ("````\n", "  `````\n"):
        assert not fence.holds(prefix + end)


def test_the_opening_of_a_fence_begins_such_a_fence() -> None:
    assert OpenFence("  > ", 2, "~~~", 1).opening == "  >   ~~~\n"
    assert fence_begun_by(OpenFence("", 0, "~~~", 1).opening) == OpenFence("", 0, "~~~", 1)
