"""The security headers of every response, and the policy of each page."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House, answered


def test_every_response_forbids_storing_sniffing_and_framing_and_has_a_policy(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = answered(gemini, house, "A.")
    paths = ("/", path, "/chats", "/nothing", "/answers/1?as=events", "/answers/1", "/answers/1?from=x", "/check")
    responses = [house.get(each) for each in paths]
    responses += [house.post("/ask", {}), house.post("/look", {"look": "3", "back": "/"}), house.post("/chats", {})]
    responses += [house.send("/api/chat", {}), house.send("/check", {}), house.client.request("PUT", house.url)]
    monkeypatch.setattr(house.chats, "recent", lambda most: 1 // 0)
    responses.append(house.get("/chats"))
    assert {each.status for each in responses} == {200, 204, 303, 400, 404, 405, 500}, "responses of all kinds"
    for each in responses:
        headers = each.headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "same-origin"
        (policy,) = headers.getlist("Content-Security-Policy")
        assert policy.startswith("default-src 'none'; ") and policy.endswith("frame-ancestors 'none'")
        assert ("script-src" in policy) == (b"</html>" in each.data)


def test_the_policy_of_a_page_allows_its_own_script_and_style_and_nothing_else(
    gemini: FakeGemini, house: House
) -> None:
    path = answered(gemini, house, "A.")
    house.ask("Not yet?")
    call = gemini.next_call()
    policies = []
    for each in ("/", path, "/chats/2/1", "/chats", "/check", "/check/reports", "/nothing"):
        response = house.get(each)
        policy = response.headers["Content-Security-Policy"]
        policies.append(policy)
        allowed = dict(re.findall(r"(script|style)-src 'unsafe-inline' '(sha256-[^' ]{44})';", policy))
        for element, allowed_hash in allowed.items():
            (text,) = re.findall(rf"<{element}>(.*?)</{element}>", response.data.decode(), re.DOTALL)
            digest = hashlib.sha256(text.encode()).digest()
            assert f"sha256-{base64.b64encode(digest).decode()}" == allowed_hash
        assert set(allowed) == {"script", "style"} and "unsafe-eval" not in policy
    assert len(set(policies)) == 6, "one for each set of styles and scripts: their text does not depend on the page"
    call.start()
    call.finish("Now.")
