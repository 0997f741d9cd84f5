"""Routes: what concerns the whole house: its addresses, who answers, how pages look in a
browser, the appliance's health.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bottle import HTTPError, HTTPResponse, request

from ..host.mdns import Snapshot
from . import cookies, replies
from .health import Health
from .look import Look
from .pages import Pages
from .paths import is_own_page
from .sign_in import SignIn
from .visitor import Visitors


@dataclass(frozen=True)
class HouseWide:
    """`GET /addresses`, `GET /about`, `POST /look`, `GET /healthz`. `addresses`: those that the house reaches
    the appliance at, best first; `mdns`: the state of its name.
    """

    visitors: Visitors
    pages: Pages
    health: Health
    sign_in: SignIn | None
    addresses: Callable[[], Sequence[str]]
    mdns: Callable[[], Snapshot]

    def list_addresses(self) -> HTTPResponse:
        """`GET /addresses`: what to type into a Kindle."""
        port = int(request.environ["SERVER_PORT"])
        page = self.pages.addresses(self.visitors.reader(), self.addresses(), port, self.mdns())
        return replies.html(page)

    def tell_who_answers(self) -> HTTPResponse:
        """`GET /about`: who answers, and what leaves the house."""
        return replies.html(self.pages.about(self.visitors.reader()))

    def set_look(self) -> HTTPResponse:
        """`POST /look`: a form with `look`, the text size and weight, and `back`, the page to go back to."""
        look, back = Look.read(request.forms.get("look", "")), request.forms.get("back", "")
        if look is None or not is_own_page(back):
            raise HTTPError(400)
        response = replies.see_other(f"{back}#look")
        cookies.keep_look(response, look)
        return response

    def check_health(self) -> HTTPResponse:
        """`GET /healthz`: whether everything works, as a status and as JSON; the rest only for the signed-in."""
        checkup = self.health.check()
        facts = checkup.facts
        if self.sign_in and not self.sign_in.is_signed_in():
            facts = {"status": facts["status"]}
        return replies.to_json(facts, 200 if checkup.is_well else 503)
