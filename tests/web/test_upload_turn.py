"""One upload at a time, and none that keeps others out."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from fakes.shelf import until

from kindle_appliance.errors import ReaderError
from kindle_appliance.web.body import Body, Pace
from kindle_appliance.web.upload_turn import UploadTurn


def test_only_one_upload_has_the_turn() -> None:
    turn = UploadTurn()
    with turn.take("a", Body(10, ""), False):
        for source in ("a", "b"):
            with pytest.raises(ReaderError) as caught, turn.take(source, Body(10, ""), False):
                pass
            assert caught.value.status == 503


def test_an_address_whose_upload_kept_another_out_lets_it_have_the_next_turn() -> None:
    turn = UploadTurn(yielding_seconds=100)
    with turn.take("a", Body(10, ""), False), pytest.raises(ReaderError), turn.take("b", Body(10, ""), False):
        pass
    with pytest.raises(ReaderError), turn.take("a", Body(10, ""), False):
        pass
    with turn.take("a", Body(10, ""), True):
        pass  # the owner need not wait
    with turn.take("a", Body(10, ""), False), pytest.raises(ReaderError), turn.take("b", Body(10, ""), False):
        pass
    with turn.take("b", Body(10, ""), False):
        pass
    with turn.take("a", Body(10, ""), False):
        pass


def test_a_slow_upload_makes_way_also_for_the_same_address_which_may_have_lost_it() -> None:
    turn, body = UploadTurn(), Body(10, "", pace=Pace(moment_seconds=0))
    left = threading.Event()

    def read() -> None:
        with suppress(ReaderError), turn.take("a", body, False):
            body.read()
        left.set()

    reading = threading.Thread(target=read)
    reading.start()
    until(lambda: body.is_slow(1))
    with turn.take("a", Body(10, ""), False):
        assert left.wait(20)
    reading.join()


def test_it_lets_others_have_the_turn_for_a_while_only() -> None:
    turn = UploadTurn(yielding_seconds=0)
    with turn.take("a", Body(10, ""), False), pytest.raises(ReaderError), turn.take("b", Body(10, ""), False):
        pass
    with turn.take("a", Body(10, ""), False):
        pass
