"""The memory of the real program."""

from __future__ import annotations

import pytest
from conftest import Soak

from .lan import Lan
from .memory import AT_MOST, resident_after


@pytest.mark.untraced
@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_program_is_small_with_a_name_and_an_answer_that_was_read(lan: Lan, soak: Soak) -> None:
    resident = resident_after(lan, soak(5, full=60))
    soak.tell(f"memory of the program: {resident:.1f} MB (at most {AT_MOST})")
    assert resident <= AT_MOST
