/* An answer by keys: which turn pages, what Tab reaches, and what happens when the browser scrolls by itself. */

// ---- Keys that turn, by their codes, and how far: Space, Page Up and Down, End, Home, the arrows.
//      Kindles with keys send some of them.

var TURNS = { 32: 1, 33: -1, 34: 1, 35: 1e6, 36: -1e6, 37: -1, 38: -1, 39: 1, 40: 1 };

onKey = function (event) {
  var key = event.keyCode, kind = document.activeElement.type, isButton = /submit|button/.test(kind), step = TURNS[key];
  if (event.altKey || event.ctrlKey || event.metaKey || !pages.length || (kind && !isButton)) { return true; }
  if (key === 9) { reachShown(); }
  if (!step || (key === 32 ? isButton : event.shiftKey)) { return true; }
  if (event.shiftKey) { step = -step; }
  turn(Math.max(-shown, Math.min(step, pages.length - 1 - shown)));
  return false;
};

// ---- The focus: Tab goes as the eye does, over what is on the page and then to the bar below it. The other pages are
//      reached by turning.

// The middle of an element's first line, in px of the flow.
function yOf(element) { return element.getBoundingClientRect().top - flow.getBoundingClientRect().top + line / 2; }

function isShown(element) { return yOf(element) > pages[shown].top && yOf(element) < pages[shown].end; }

function reachShown() {
  var all = flow.querySelectorAll('a, input, button'), i;
  for (i = 0; i < all.length; i += 1) { all[i].tabIndex = isShown(all[i]) ? 0 : -1; }
}

// What has the focus on another page would be pressed unseen, and Tab would go on from there.
function leaveHidden() {
  var element = document.activeElement;
  if (element && flow.contains(element) && !isShown(element)) { leaf.focus(); }
}

// ---- The browser scrolls the text to what gets the focus, is the target of a link, or is found: its page is shown.

function pageInView() {
  var top = clip.scrollTop, wanted = [document.activeElement, byId(location.hash.slice(1))], i, y;
  for (i = 0; i < 2; i += 1) {
    y = wanted[i] && flow.contains(wanted[i]) ? yOf(wanted[i]) : 0;
    if (y > top && y < top + clip.offsetHeight) { return isShown(wanted[i]) ? shown : pageAt(y); }
  }
  return pageAt(top + clip.offsetHeight / 2);
}

clip.onscroll = function () {
  var isPrinted = window.getComputedStyle(clip, null).overflow === 'visible';
  if (!isPrinted && pages.length && Math.abs(clip.scrollTop - pages[shown].top) >= 1) { turn(pageInView() - shown); }
  clip.scrollLeft = 0;
};
window.onafterprint = function () { show(shown); };      // what is not clipped is not scrolled either
