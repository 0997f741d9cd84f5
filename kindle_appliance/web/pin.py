"""The PIN of the house, the sessions of browsers that entered it, and the pauses after wrong ones. No clock.

A PIN of a few digits is guessed in minutes where guessing is free. So wrong PINs cost pauses, for each address and
for all together, because a network has many addresses.
"""

from __future__ import annotations

import hmac
import math
import re
import threading

OWN_TRIES, ALL_TRIES = 5, 50
"""The number of wrong PINs before a pause: from one address, and from all together."""

FIRST_PAUSE, LONGEST_PAUSE, FORGOTTEN_AFTER = 60.0, 3600.0, 86400.0  # seconds


class Gate:
    """Checks the PIN, and signs and checks the session cookies of browsers that entered it. Safe for threads.

    A session cookie holds its expiry time, signed with a key from the secret and the PIN: a change of
    the PIN signs everybody out. Wrong PINs are counted for each address, and for all addresses together, because a
    client can use many. After a few wrong PINs, each further one starts a pause, which doubles. A day without a
    wrong PIN resets the count.
    """

    def __init__(self, pin: str, secret: bytes) -> None:
        self._pin = pin.encode()
        self._key = hmac.digest(secret, self._pin, "sha256")
        self._lock = threading.Lock()
        self._wrong: dict[str, _WrongPins] = {}
        self._all = _WrongPins(ALL_TRIES)

    def open_session(self, end: float) -> str:
        """Return a session cookie that is valid until `end` (Unix time)."""
        return f"{int(end)}.{self._signature(int(end))}"

    def is_session(self, text: str, now: float) -> bool:
        """Whether this is a session cookie that is valid at `now` (Unix time)."""
        end, _, signature = text.partition(".")
        if not re.fullmatch("[0-9]{1,12}", end, re.ASCII) or not signature.isascii():
            return False
        return hmac.compare_digest(signature, self._signature(int(end))) and now < int(end)

    def is_right(self, pin: str, client: str, now: float) -> bool:
        """Check a PIN, and count it if it is wrong. During a pause every PIN is refused.

        `now`, here and in `pause()`, must come from a monotonic clock.
        """
        with self._lock:
            own = self._wrong.get(client) or _WrongPins(OWN_TRIES)
            if max(own.until, self._all.until) > now:
                return False
            if hmac.compare_digest(pin.encode(), self._pin):
                self._wrong.pop(client, None)
                self._all.count = max(0, self._all.count - own.count)
                return True
            self._wrong = {each: wrong for each, wrong in self._wrong.items() if not wrong.is_forgotten(now)}
            self._wrong[client] = own
            own.add(now)
            self._all.add(now)
            return False

    def pause(self, client: str, now: float) -> int:
        """Return the seconds until this client may try again; 0 for at once."""
        with self._lock:
            own = self._wrong.get(client)
            return max(0, math.ceil(max(own.until if own else 0, self._all.until) - now))

    def _signature(self, end: int) -> str:
        return hmac.digest(self._key, str(end).encode(), "sha256").hex()


class _WrongPins:
    """Wrong PINs: their number, the time of the last one, and the end of the pause."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._last = 0.0
        self.count = 0
        self.until = 0.0

    def is_forgotten(self, now: float) -> bool:
        return now - self._last > FORGOTTEN_AFTER

    def add(self, now: float) -> None:
        self.count = 1 if self.is_forgotten(now) else self.count + 1
        self._last = now
        if self.count >= self._allowed:
            self.until = now + min(FIRST_PAUSE * 2 ** min(self.count - self._allowed, 9), LONGEST_PAUSE)
