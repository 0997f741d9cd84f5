"""The lines of an answer as a browser has set them, with the width of their word spaces."""

from __future__ import annotations

from typing import NamedTuple

from .browser import Browser

WIDE = 2.5
"""So many times the usual width of a word space shows as a hole."""


class Line(NamedTuple):
    """A line of the answer: its words, its widest word space as a multiple of the usual one, how far from the right
    edge its last letter ends (px), whether it is the last of its paragraph or stands before a break, whether it
    ends at a soft hyphen, and the name of its element.
    """

    words: str
    widest: float
    gap: float
    is_last: bool
    ends_in_word: bool
    home: str


def lines_of(browser: Browser) -> list[Line]:
    """The lines of the paragraphs, items and quotations of the answer; not of headings, tables and code."""
    found = browser.script(
        r"""
        var text = document.getElementById('text'), lines = [], line, block = null, isBroken;
        function usual() {
          var holder = document.createElement('div'), wide;
          holder.style.cssText = 'position: absolute; white-space: pre; word-spacing: 0';
          text.parentNode.appendChild(holder);
          holder.innerHTML = 'n n';
          wide = holder.getBoundingClientRect().width;
          holder.innerHTML = 'nn';
          wide -= holder.getBoundingClientRect().width;
          text.parentNode.removeChild(holder);
          return wide;
        }
        function edge(element) {
          var box = element.getBoundingClientRect(), style = window.getComputedStyle(element, null);
          return box.right - parseFloat(style.paddingRight) - parseFloat(style.borderRightWidth);
        }
        function look(node, home) {
          var value = node.nodeValue, range = document.createRange(), i, boxes, box, middle;
          for (i = 0; i < value.length; i += 1) {
            range.setStart(node, i); range.setEnd(node, i + 1);
            boxes = range.getClientRects();
            box = boxes[boxes.length - 1];
            if (!box || (!box.width && value.charAt(i) !== '\u00ad')) { continue; }
            middle = (box.top + box.bottom) / 2;
            if (/\s/.test(value.charAt(i))) {
              if (line && Math.abs(middle - line.middle) < 8) { line.space = box.width; }
            } else if (value.charAt(i) === '\u00ad') {
              if (line) { line.soft = true; }
            } else {
              if (home !== block || isBroken || !line || Math.abs(middle - line.middle) > 8) {
                if (line && (home !== block || isBroken)) { line.isLast = true; }
                if (line && line.soft) { line.ends = true; }
                line = { words: '', widest: 0, usual: usual(), edge: edge(home), middle: middle };
                line.home = home.nodeName;
                lines.push(line);
                block = home; isBroken = false;
              }
              if (line.space) { line.widest = Math.max(line.widest, line.space); line.words += ' '; }
              line.space = 0; line.soft = false;
              line.words += value.charAt(i);
              line.right = box.right;
            }
          }
        }
        function walk(node, home) {
          var child;
          for (child = node.firstChild; child; child = child.nextSibling) {
            if (child.nodeType === 3) { if (/^(P|LI|DD)$/.test(home.nodeName)) { look(child, home); } continue; }
            if (/^(H\d|TABLE|PRE|DT)$/.test(child.nodeName)) { continue; }
            if (child.nodeName === 'BR') { isBroken = true; }
            walk(child, /^(P|LI|DD|UL|OL|DL|BLOCKQUOTE)$/.test(child.nodeName) ? child : home);
          }
        }
        walk(text, text);
        if (line) { line.isLast = true; }
        return lines.map(function (each) {
          var widest = each.widest / each.usual;
          return [each.words, widest, each.edge - each.right, !!each.isLast, !!each.ends, each.home];
        });
        """
    )
    return [Line(*each) for each in found]
