"""A model server on another computer of the house, found by the name that the computer announces."""

from __future__ import annotations

import sys
from contextlib import closing

import pytest

from kindle_appliance.conversation import Question
from kindle_appliance.errors import ComputerAway
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.generation import Generation
from kindle_appliance.upstream.openai import OpenAI
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Place, Rung

from .lan import Host, Lan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

PI, PC = "10.85.0.20", "10.85.0.30"
PORT = 11434

SERVER = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer

class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        print("asked as", self.headers["Host"], flush=True)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        chunk = b'{{"choices": [{{"delta": {{"content": "Because."}}, "finish_reason": "stop"}}]}}'
        self.wfile.write(b"data: " + chunk + b"\\n\\ndata: [DONE]\\n\\n")

server = HTTPServer(("", {PORT}), Model)
print("ready", flush=True)
server.serve_forever()
"""


def ask(pi: Host) -> Generation:
    """A question of the appliance on this host, read to its end."""

    def within() -> Generation:
        base_url = f"http://pc.local:{PORT}/v1"
        with closing(Upstream(base_url, Clocks(), provider="pc.local", is_at_home=True, only_at_home=True)) as pc:
            generation = Fallback([Rung(OpenAI("pc.local"), Place(pc), "small")], Quotas()).ask(Question("Why?"))
            assert "".join(generation) == ("" if generation.error else "Because.")
            return generation

    return pi.within(within)


def test_a_computer_is_found_by_the_name_that_it_announces(lan: Lan) -> None:
    pi, pc = lan.host(PI), lan.host(PC)
    pc.start_avahi("pc")
    server = pc.start(sys.executable, "-c", SERVER)
    server.wait_for("ready")
    generation = ask(pi)
    assert generation.error is None and generation.ending is not None
    server.wait_for(f"asked as pc.local:{PORT}")


def test_a_computer_that_announces_nothing_is_away(lan: Lan) -> None:
    generation = ask(lan.host(PI))
    assert isinstance(generation.error, ComputerAway)
    assert generation.ending is not None and "Is that computer on" in str(generation.ending.note)
