"""Pixels of a page, for what only a picture shows: how many dark ones each row of a part of the window has."""

from __future__ import annotations

import base64
from pathlib import Path

from .browser import Browser
from .devtools import DevTools
from .ghostdriver import GhostDriver

_IS_DARK = bytes(value < 128 for value in range(256))

_COUNT = """
  var bytes = atob(arguments[0]), data = new Uint8Array(bytes.length), i;
  for (i = 0; i < bytes.length; i += 1) { data[i] = bytes.charCodeAt(i); }
  return createImageBitmap(new Blob([data], { type: 'image/png' })).then(function (image) {
    var canvas = document.createElement('canvas'), context = canvas.getContext('2d'), rows = [], x, y, pixels;
    canvas.width = image.width;
    canvas.height = image.height;
    context.drawImage(image, 0, 0);
    for (y = 0; y < image.height; y += 1) {
      pixels = context.getImageData(0, y, image.width, 1).data;
      for (rows[y] = 0, x = 0; x < image.width; x += 1) { if (pixels[4 * x] < 128) { rows[y] += 1; } }
    }
    return rows;
  });
"""


def dark_pixels(browser: Browser, left: int, top: int, width: int, height: int, path: Path) -> list[int]:
    """The number of dark pixels in each row of a part of the page; `path`: a file for its picture."""
    if isinstance(browser, GhostDriver):
        clip = {"left": left, "top": top, "width": width, "height": height}
        browser.phantom(
            "this.clipRect = arguments[0]; this.render(arguments[1], { format: 'ppm' }); this.clipRect = {};",
            clip,
            str(path),
        )
        head, size, depth, rows = path.read_bytes().split(b"\n", 3)
        assert (head, size, depth) == (b"P6", b"%d %d" % (width, height), b"255")
        reds = rows[::3].translate(_IS_DARK)
        return [reds.count(1, width * y, width * (y + 1)) for y in range(height)]
    assert isinstance(browser, DevTools)
    part = {"x": left, "y": top, "width": width, "height": height, "scale": 1}
    png = browser.devtools("Page.captureScreenshot", format="png", clip=part)["data"]
    path.write_bytes(base64.b64decode(png))
    counted: list[int] = browser.script(_COUNT, png)
    assert len(counted) == height
    return counted
