/* Taps that turn pages, as on a Kindle: in the left third back, everywhere else forward. A page that is zoomed in is
   tapped by what is seen of it. */

function isControl(element) {
  for (; element && element !== leaf; element = element.parentNode) {
    if (element.href || /^(INPUT|BUTTON)$/.test(element.nodeName)) { return true; }
  }
  return false;
}

// Whether a link of this page is within half a line: the finger may have missed it.
function isBesideLink(event) {
  var links = flow.getElementsByTagName('a'), edge = clip.getBoundingClientRect(), reach = line / 2, boxes, box, i, j;
  for (i = 0; i < links.length; i += 1) {
    boxes = links[i].href ? links[i].getClientRects() : [];
    for (j = 0; j < boxes.length; j += 1) {
      box = boxes[j];
      if (box.bottom > edge.top + reach && box.top < edge.bottom - reach &&
          event.clientX >= box.left - reach && event.clientX <= box.right + reach &&
          event.clientY >= box.top - reach && event.clientY <= box.bottom + reach) { return true; }
    }
  }
  return false;
}

// Whether the links and forms at the end are here, or beside it.
function isBesideEnd(event) {
  var box = byId('after').getBoundingClientRect(), edge = clip.getBoundingClientRect();
  return event.clientY > box.top && event.clientY < Math.min(box.bottom, edge.bottom);
}

// What is seen while the page is zoomed: its corner in the page, and its left side and width beside clientX.
function seenPart() {
  return window.visualViewport ||
    { pageLeft: window.pageXOffset, pageTop: window.pageYOffset, offsetLeft: 0, width: window.innerWidth };
}

function isInLeftThird(event) {
  var seen = seenPart(), box = leaf.getBoundingClientRect();
  var left = Math.max(seen.offsetLeft, box.left), right = Math.min(seen.offsetLeft + seen.width, box.right);
  return event.clientX < left + (right - left) / 3;
}

function tapTurn(step) {
  turn(step);
  hintAtZoom();
}

function hintAtZoom() {
  var hint = byId('zoomed');
  if (isZoomed() && !hint) {
    hint = document.createElement('div');
    hint.id = 'zoomed';
    setText(hint, PAGE.say.zoomed);
    document.body.appendChild(hint);
  }
  if (hint) {
    hint.style.display = isZoomed() ? 'block' : 'none';
    hint.style.left = seenPart().pageLeft + 'px';
    hint.style.top = seenPart().pageTop + 'px';
  }
}

var HURRY = 1000;          // ms
var tapped = { at: 0, x: 0, y: 0 };

// A second tap shortly after a first is not meant for a link that has just appeared under the finger.
function isHasty(event) {
  var near = rooms[1] / 8;
  return now() - tapped.at < HURRY && Math.abs(event.pageX - tapped.x) < near && Math.abs(event.pageY - tapped.y) < near;
}

leaf.onclick = function (event) {
  if (isControl(event.target)) { return !isHasty(event); }
  if (String(window.getSelection()) || isBesideEnd(event) || isBesideLink(event)) { return true; }
  tapped = { at: now(), x: event.pageX, y: event.pageY };
  tapTurn(isInLeftThird(event) ? -1 : 1);
  return true;
};
onTap('back', function () { tapTurn(-1); });
onTap('next', function () { tapTurn(1); });
