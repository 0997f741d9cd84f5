/* Taps that turn pages: the right third of the page turns forward, the left third back, also while the page
   is zoomed. */

function isControl(element) {
  for (; element && element !== leaf; element = element.parentNode) {
    if (/^(A|INPUT|BUTTON)$/.test(element.nodeName)) { return true; }
  }
  return false;
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
    hint.style.left = window.pageXOffset + 'px';
    hint.style.top = window.pageYOffset + 'px';
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
  var third = event.pageX / root.clientWidth * 3;
  if (isControl(event.target)) { return !isHasty(event); }
  if (String(window.getSelection()) || (third > 1 && third < 2)) { return true; }
  tapped = { at: now(), x: event.pageX, y: event.pageY };
  tapTurn(third < 1 ? -1 : 1);
  return true;
};
onTap('back', function () { tapTurn(-1); });
onTap('next', function () { tapTurn(1); });
