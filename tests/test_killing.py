"""`kill -9` at any moment loses no accepted question, and no text that had settled 1.3 seconds before."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest
from appliance import tools
from conftest import Soak, unavailable
from fakes.gemini import Call, FakeGemini, Reply, chunk
from fakes.house import Follow
from fakes.program import PROGRAM, UNLIMITED, Appliance
from fakes.secret_scanner import Client
from urllib3.exceptions import HTTPError

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ANSWERS = 8
WITHIN = 2.5  # seconds after the first question


def texts(question: str) -> list[str]:
    """Gemini's answer to a question, piece by piece: some end soon, some outlast every appliance."""
    chance = random.Random(question)
    paragraphs = (f"{number}. {question} {'Так и 海. ' * chance.randrange(12)}\n\n" for number in range(300))
    whole = "".join(paragraphs)[: chance.choice((2_000, 30_000, 100_000))]
    pieces = []
    while whole:
        size = chance.randrange(1, 300)
        pieces.append(whole[:size])
        whole = whole[size:]
    return pieces


def write(call: Call) -> Reply:
    question = call.json["contents"][-1]["parts"][0]["text"]

    def body() -> Iterator[bytes]:
        *pieces, last = texts(question)
        for piece in pieces:
            yield chunk(piece)
            time.sleep(0.01)
        yield chunk(last, "STOP")

    return Reply(body())


@dataclass
class Asked:
    """A question, and its reader's state when the appliance was killed."""

    question: str
    place: str = ""  # the path of its turn, once accepted
    settled: list[tuple[float, int]] = field(
        default_factory=list
    )  # the time at which the reader saw it, and the offset
    finish: str = ""

    def ask_and_follow(self, url: str) -> None:
        """Ask, and follow the answer until the appliance is gone."""
        with Client(retries=False, timeout=30) as client, suppress(HTTPError, OSError):
            form = urlencode({"question": self.question, "form": "form"})
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            reply = client.request("POST", f"{url}/ask", body=form, headers=headers, redirect=False)
            assert reply.status == 303, reply.data
            self.place = reply.headers["Location"]
            page = client.request("GET", url + self.place).data.decode()
            answer = re.search(r'"answer": (\d+)', page)
            assert answer, page
            path = f"/answers/{answer[1]}?as=events"
            follow = Follow(client.request("GET", url + path, preload_content=False))
            while follow.read():
                self.settled.append((time.monotonic(), follow.state.upto))
                if follow.state.end:
                    self.finish = follow.state.end["finish"]


@dataclass(frozen=True)
class Stored:
    """A turn in the database of an appliance that was killed."""

    answer: str
    finish: str | None


def stored(folder: Path) -> dict[str, Stored]:
    """The turns in a copy of the folder, so that the next appliance finds the folder as after the kill."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    with closing(sqlite3.connect(copy / "chats.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        pieces: defaultdict[int, str] = defaultdict(str)
        for turn, text in database.execute("SELECT turn, text FROM pieces ORDER BY at"):
            pieces[turn] += zlib.decompress(text).decode()
        rows = database.execute("SELECT id, question, answer, finish FROM turns").fetchall()
    shutil.rmtree(copy)
    return {
        question: Stored(answer if finish else answer + pieces[turn], finish)
        for turn, question, answer, finish in rows
    }


def check_after_restart(appliance: Appliance, asked: list[Asked], kept: dict[str, Stored]) -> None:
    """Asserts that each turn shows the stored text, and that the interrupted ones say so."""
    for each in asked:
        if not each.place:
            continue
        page = appliance.get(each.place).read().decode()
        was = kept[each.question]
        empty = "" if was.answer else " empty"
        assert f'<body class="reading ended {was.finish or "interrupted"}{empty}"' in page
        assert ("The appliance was switched off" in page) == (was.finish is None)
        answer = re.search(r'"answer": (\d+)', page)
        assert answer and appliance.get(f"/answers/{answer[1]}?as=text").read().decode() == was.answer


SLOW = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:delay_enter=150ms"]
"""A card on which each commit takes as long."""


@pytest.mark.parametrize("card", ["quick", "slow"])
def test_a_kill_at_any_instant_loses_no_question_and_no_text_older_than_the_promise(
    tmp_path: Path, soak: Soak, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if card == "slow":
        if reason := tools.missing("strace"):
            unavailable(reason)
        monkeypatch.setattr("fakes.program.PROGRAM", [*SLOW, *PROGRAM])
    kills = soak(8, full=200) // (1 if card == "quick" else 4)
    promised = soak(30, full=13) / 10  # seconds until settled text is stored; a loaded machine gets more of them
    chance = random.Random(9)
    accepted, finished, oldest_lost = 0, 0, 0.0
    asked: list[Asked] = []
    kept: dict[str, Stored] = {}
    with FakeGemini() as gemini:
        gemini.default = write
        options = ["--data", str(tmp_path / "data"), "--gemini-url", gemini.url]
        for kill in range(kills):
            with closing(Appliance(tmp_path, *options, **UNLIMITED)) as appliance:
                check_after_restart(appliance, asked, kept)
                asked = [Asked(f"Kill {kill}, question {number}?") for number in range(ANSWERS)]
                with ThreadPoolExecutor(ANSWERS) as readers:
                    done = [
                        readers.submit(each.ask_and_follow, f"http://127.0.0.1:{appliance.port}") for each in asked
                    ]
                    threading.Event().wait(chance.uniform(0, WITHIN))
                    killed = time.monotonic()
                    appliance.process.kill()
                for reading in done:
                    reading.result()
            kept = stored(tmp_path / "data")
            for each in asked:
                if not each.place:
                    continue
                assert each.question in kept, f"kill {kill}: an accepted question is lost"
                accepted += 1
                was, text = kept[each.question], "".join(texts(each.question))
                assert text.startswith(was.answer), f"kill {kill}: the text differs from Gemini's"
                if each.finish:
                    finished += 1
                    assert (was.finish, was.answer) == (each.finish, text), f"kill {kill}: an end is lost"
                lost = [killed - seen for seen, upto in each.settled if upto > len(was.answer)]
                oldest_lost = max(oldest_lost, *lost, 0)
                assert oldest_lost < promised, (
                    f"kill {kill}: text is lost that had settled {oldest_lost:.2f} s before"
                )
        with closing(Appliance(tmp_path, *options, **UNLIMITED)) as appliance:
            check_after_restart(appliance, asked, kept)
    soak.tell(
        f"{kills} kills on a {card} card, {accepted} questions accepted, {finished} answers ended, none lost; the"
        f" settled text that was lost had been there for at most {oldest_lost:.2f} s"
    )
