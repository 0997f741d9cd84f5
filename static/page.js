/* Runs on every page: the text size, panels, and the focus. All scripts of a page run in one function, this one first.
   Only ES5, for WebKit 528 and newer: one newer token would stop all of it. Every page also works without script. */
var SIZES = [62, 55, 48, 40, 34, 28, 22, 17, 13];   // letters on a line, as in page.css

// The data of this page. The script itself never changes, so that the policy can allow it by its hash.
var PAGE = parseJson(byId('given').text);
var root = document.documentElement;
var whenFitted = [];       // functions that redo the layout after a change of size
var fittedWidth = 0, viewHeight = 0;

function byId(id) { return document.getElementById(id); }

function now() { return new Date().getTime(); }

// The oldest engines have no JSON. eval is safe here: the text always comes from the appliance.
function parseJson(text) {
  return window.JSON ? JSON.parse(text) : eval('(' + text.replace(/\u2028|\u2029/g, ' ') + ')');
}

function setText(element, text) {
  if (element.childNodes.length !== 1 || element.firstChild.nodeValue !== text) {
    element.innerHTML = '';
    element.appendChild(document.createTextNode(text));
  }
}

function keepCookie(name, value) {
  document.cookie = name + '=' + value + '; path=/; expires=Thu, 31 Dec 2037 12:00:00 GMT';
}

function mark(element, name, isOn) {
  var names = (' ' + element.className + ' ').replace(' ' + name + ' ', ' ') + (isOn ? name : '');
  names = names.replace(/^\s+|\s+$/g, '');
  if (element.className !== names) { element.className = names; }
}

// Shows a note, or hides it if `text` is empty. A class, because PhantomJS (WebKit 534) evaluates `:empty` only once.
function setNote(id, text) {
  setText(byId(id), text);
  mark(byId(id), 'blank', !text);
}

// ---- Size: page.css measures in the font size of the root, which is 27 px on a Kindle of 600 x 706 or 800 x 506.

// Old Kindles zoom in on a double tap, and a page cannot prevent it. `innerWidth` then becomes smaller. In Chromium it
// stays the same, and since version 61 `visualViewport` has the scale.
function isZoomed() {
  var scale = window.visualViewport ? window.visualViewport.scale : root.clientWidth / window.innerWidth;
  return scale > 1.05;
}

// While the page is zoomed, the earlier sizes are kept. A Paperwhite 3 reports 0 x 0 until its first `resize`.
function measure() {
  var width = root.clientWidth, height = window.innerHeight;
  if (!width || !height || (fittedWidth && isZoomed())) { return; }
  viewHeight = Math.round(isZoomed() && !window.visualViewport ? height * width / window.innerWidth : height);
  if (width !== fittedWidth) {                       // a keyboard changes only the height
    fittedWidth = width;
    // A Kindle that is turned on its side keeps the size of its text. A phone is nearer to the eye, but so small that a
    // line has fewer letters.
    width = width > viewHeight ? Math.min(width, viewHeight * 1.19) : width;
    root.style.fontSize = Math.floor((width > 500 ? 0.045 : 0.052) * width) + 'px';
  }
}

function fit() {
  var i;
  measure();
  if (!fittedWidth) { return; }
  for (i = 0; i < whenFitted.length; i += 1) { whenFitted[i](); }
}

window.onresize = fit;

// ---- The Aa panel. Without script its buttons send a form to /look.

function look() { return { size: Number(/size-(\d+)/.exec(root.className)[1]), isBold: /bold/.test(root.className) }; }

function setLook(size, isBold) {
  mark(root, 'size-' + look().size, false);
  mark(root, 'size-' + size, true);
  mark(root, 'bold', isBold);
  setText(byId('weight'), isBold ? PAGE.say.regular : PAGE.say.bold);
  keepCookie('look', size + (isBold ? 'b' : ''));
  fit();
}

// Larger by so many sizes, as far as sizes go.
function enlarge(steps) {
  var i;
  for (i = 0; SIZES[i] > look().size; i += 1) { }
  setLook(SIZES[i + steps] || look().size, look().isBold);
}

function onTap(id, action) {
  var element = byId(id);
  if (element) { element.onclick = function () { action(); return false; }; }
}

// Covers everything with black, then white, which removes the ghosts of earlier pages from the e-ink screen.
function clearScreen() {
  var veil = document.createElement('div');
  veil.id = 'veil';
  veil.style.left = -document.body.offsetLeft + 'px';
  veil.style.width = root.clientWidth + 'px';
  veil.style.height = Math.max(window.innerHeight, document.body.offsetHeight) + 'px';
  veil.style.background = '#000';
  document.body.appendChild(veil);
  setTimeout(function () { veil.style.background = '#fff'; }, 400);
  setTimeout(function () { document.body.removeChild(veil); }, 800);
}

// ---- Panels: at most one is open. The focus goes into it, and at its end back to the link that opened it. Without
//      script, and in an address that ends with its name, a panel is shown as the target of that link.

var openers = {};          // for each panel's id, that of the link

function bindPanel(id, opener, prepare) {
  if (!byId(opener)) { return; }                 // as while the PIN is entered
  openers[id] = opener;
  byId(opener).setAttribute('role', 'button');
  onTap(opener, function () {
    if (leavePanels() === id) { return; }        // where the focus is already
    byId(id).style.display = 'block';
    if (prepare) { prepare(); }
    byId(id).focus();
  });
}

function closePanels() {
  var id = leavePanels();
  if (id && byId(openers[id])) { byId(openers[id]).focus(); }
}

// Hides the open panel and leaves the focus where it is; returns its id.
function leavePanels() {
  var id, left = '';
  for (id in openers) {
    if (byId(id).offsetHeight) {
      byId(id).style.display = 'none';
      left = id;
    }
  }
  return left;
}

// ---- Keys and taps. A tap needs no mark of the focus, which e-ink would have to draw and to clear.

var onKey = null;          // what this page does with a key that is no panel's

document.onmousedown = function () { mark(root, 'tapped', true); };
document.onkeydown = function (event) {
  mark(root, 'tapped', false);
  if (event.keyCode === 27) { closePanels(); }
  if ((event.keyCode === 32 || event.keyCode === 13) && document.activeElement.getAttribute('role') === 'button') {
    document.activeElement.onclick();            // no button, but acts as one
    return false;
  }
  if (event.keyCode === 9) { setTimeout(followFocus, 0); }             // Tab moves the focus after this event
  return onKey ? onKey(event) : true;
};

// A panel that the focus has left would hide what has it.
function followFocus() {
  var each = document.activeElement;
  for (; each; each = each.parentNode) { if (openers[each.id]) { return; } }
  leavePanels();
}

mark(root, 'scripted', true);
bindPanel('look', 'aa');
onTap('close', closePanels);
onTap('smaller', function () { enlarge(-1); });
onTap('larger', function () { enlarge(1); });
onTap('weight', function () { setLook(look().size, !look().isBold); });
onTap('clear', clearScreen);
