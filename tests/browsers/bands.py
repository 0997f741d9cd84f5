"""Pictures of the lines of an answer: each a band of the baseline grid, as wide as the window.

A picture is compared by its bytes, so it is enough to cut it. PhantomJS writes PPM, which is rows of pixels.
Chromium only has PNG, which it takes apart itself, on a canvas.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from .browser import Browser
from .devtools import DevTools
from .ghostdriver import GhostDriver

_CUT = """
  var bytes = atob(arguments[0]), data = new Uint8Array(bytes.length), line = arguments[1], i;
  for (i = 0; i < bytes.length; i += 1) { data[i] = bytes.charCodeAt(i); }
  return createImageBitmap(new Blob([data], { type: 'image/png' })).then(function (image) {
    var canvas = document.createElement('canvas'), context = canvas.getContext('2d'), bands = [], y, k, hash, words;
    canvas.width = image.width;
    canvas.height = image.height;
    context.drawImage(image, 0, 0);
    for (y = 0; y + line <= image.height; y += line) {
      words = new Uint32Array(context.getImageData(0, y, image.width, line).data.buffer);
      for (hash = 5381, k = 0; k < words.length; k += 1) { hash = Math.imul(hash, 33) ^ words[k]; }
      bands.push(String(hash));
    }
    return bands;
  });
"""


@dataclass(frozen=True)
class Grid:
    """The lines of an answer: where the first begins on the page, in CSS pixels; their height, and their number."""

    top: int
    line: int
    count: int


def grid(browser: Browser) -> Grid:
    """The grid of the answer and the question above it, as far as text stands on it."""
    top, line, height = browser.script(
        "var answer = document.getElementById('answer'), box = answer.getBoundingClientRect();"
        "return [box.top + window.pageYOffset, parseFloat(answer.style.lineHeight), box.bottom - box.top];"
    )
    return Grid(round(top), round(line), round(height / line))


def take_bands(browser: Browser, grid: Grid, first: int, path: Path) -> list[str]:
    """A picture of the lines from `first` on, in the file `path`: what each looks like, as a word."""
    width = browser.size[0]
    clip = {"left": 0, "top": grid.top + first * grid.line, "width": width}
    clip["height"] = (grid.count - first) * grid.line
    if clip["height"] <= 0:
        return []
    if isinstance(browser, GhostDriver):
        browser.phantom(
            "this.clipRect = arguments[0]; this.render(arguments[1], { format: 'ppm' });", clip, str(path)
        )
        head, size, depth, rows = path.read_bytes().split(b"\n", 3)
        assert (head, depth) == (b"P6", b"255") and size == b"%d %d" % (width, clip["height"]), (head, size, depth)
        band = 3 * width * grid.line
        return [hashlib.blake2b(rows[at : at + band]).hexdigest() for at in range(0, len(rows), band)]
    assert isinstance(browser, DevTools)
    part = {"x": 0, "y": clip["top"], "width": width, "height": clip["height"], "scale": 1}
    png = browser.devtools("Page.captureScreenshot", format="png", clip=part, optimizeForSpeed=True)["data"]
    path.write_bytes(base64.b64decode(png))
    return list(browser.script(_CUT, png, grid.line))


def as_png(picture: bytes) -> bytes:
    """A picture of `take_bands` in a format that people can look at."""
    if not picture.startswith(b"P6"):
        return picture
    _, size, _, rows = picture.split(b"\n", 3)
    width, height = map(int, size.split())
    lines = b"".join(b"\0" + rows[3 * width * y : 3 * width * (y + 1)] for y in range(height))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
