/* Runs on every page: the text size, the Aa panel, and forms that keep their content while the network is away. All
   scripts of a page run in one function, this one first. Only ES5, for WebKit 528 and newer: one newer token would
   stop all of it. Every page also works without script. */
var SIZES = 8;
var SEND_LIMIT = 20000;    // ms; old WebKit has no xhr.timeout

// The data of this page. The script itself never changes, so that the policy can allow it by its hash.
var PAGE = parseJson(byId('given').text);
var root = document.documentElement;
var whenFitted = [];       // functions that redo the layout after a change of size
var fittedWidth = 0, viewHeight = 0;

function byId(id) { return document.getElementById(id); }

function now() { return new Date().getTime(); }

function setText(element, text) {
  if (element.childNodes.length !== 1 || element.firstChild.nodeValue !== text) {
    element.innerHTML = '';
    element.appendChild(document.createTextNode(text));
  }
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

// ---- Size: the font size of the root is a twentieth of the column (page.css).

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
    height = viewHeight;
    root.style.fontSize = Math.floor(0.045 * Math.min(width, width > height ? height * 8 / 9 : width)) + 'px';
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

function look() { return { size: Number(/size-(\d)/.exec(root.className)[1]), isBold: /bold/.test(root.className) }; }

function setLook(size, isBold) {
  if (size < 1 || size > SIZES) { return; }
  mark(root, 'size-' + look().size, false);
  mark(root, 'size-' + size, true);
  mark(root, 'bold', isBold);
  setText(byId('weight'), isBold ? PAGE.say.regular : PAGE.say.bold);
  document.cookie = 'look=' + size + (isBold ? 'b' : '') + '; path=/; expires=Thu, 31 Dec 2037 12:00:00 GMT';
  fit();
}

function onTap(id, action) {
  var element = byId(id);
  if (element) { element.onclick = function () { action(); return false; }; }
}

function showPanel(isShown) { byId('look').style.display = isShown ? 'block' : 'none'; }

// Covers everything with black, then white, which removes the ghosts of earlier pages from the e-ink screen.
function clearScreen() {
  var veil = document.createElement('div');
  veil.id = 'veil';
  veil.style.left = -document.body.offsetLeft + 'px';
  veil.style.width = root.clientWidth + 'px';
  veil.style.height = Math.max(window.innerHeight, document.body.offsetHeight) + 'px';
  veil.className = 'black';
  document.body.appendChild(veil);
  setTimeout(function () { veil.className = 'white'; }, 400);
  setTimeout(function () { document.body.removeChild(veil); }, 800);
}

mark(root, 'scripted', true);
onTap('aa', function () { showPanel(byId('look').style.display !== 'block'); });
onTap('close', function () { showPanel(false); });
onTap('smaller', function () { setLook(look().size - 1, look().isBold); });
onTap('larger', function () { setLook(look().size + 1, look().isBold); });
onTap('weight', function () { setLook(look().size, !look().isBold); });
onTap('clear', clearScreen);

// ---- Asking: the browser leaves the page only after the question is stored; until then the text stays in its field.

var isSending = false;

function post(url, body, onReply) {
  var xhr = new XMLHttpRequest(), isOver = false, limit;

  function finish(status, text) {
    if (isOver) { return; }                          // abort() reports readyState 4 again
    isOver = true;
    clearTimeout(limit);
    onReply(status, text);
  }
  xhr.onreadystatechange = function () {
    if (xhr.readyState === 4) { finish(xhr.status, xhr.responseText); }
  };
  limit = setTimeout(function () { finish(0, ''); xhr.abort(); }, SEND_LIMIT);
  xhr.open('POST', url, true);
  xhr.setRequestHeader('Accept', 'application/json');
  xhr.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
  xhr.send(body);
}

function encode(form, button) {
  var pairs = [], i, field;
  for (i = 0; i < form.elements.length; i += 1) {
    field = form.elements[i];
    if (field.name && (field.type !== 'submit' || field === button)) {
      pairs.push(encodeURIComponent(field.name) + '=' + encodeURIComponent(field.value));
    }
  }
  return pairs.join('&');
}

// The oldest engines have no JSON. eval is safe here: the text always comes from the appliance.
function parseJson(text) {
  return window.JSON ? JSON.parse(text) : eval('(' + text.replace(/\u2028|\u2029/g, ' ') + ')');
}

function ask(form, body) {
  isSending = true;
  setNote('sent', PAGE.say.sending);
  post('/ask', body, function (status, text) {
    var reply = {};
    isSending = false;
    try { reply = parseJson(text) || {}; } catch (problem) { reply = {}; }   // empty, or from a proxy
    // The chat was deleted: the typed question starts a new one. Its draft stays apart from that of the start page.
    if (status === 404) { form.elements.chat.value = ''; }
    if (status === 201 && reply.url) {
      dropDraft();
      location.href = reply.url;
    } else {
      setNote('sent', reply.error || PAGE.say.notSent);
    }
    fit();
  });
  fit();
}

// A page from the browser's back-forward cache still shows the old message.
window.onpageshow = function (event) { if (event.persisted && byId('sent')) { setNote('sent', ''); } };

function bindForm(form) {
  var button = null, i;

  function bindButton(each) {
    each.onclick = function () { button = each; };
    each.onmousedown = function () { return false; };                  // keeps the on-screen keyboard open
  }
  for (i = 0; i < form.elements.length; i += 1) {
    if (form.elements[i].type === 'submit') { bindButton(form.elements[i]); }
  }
  form.onsubmit = function () {
    var body;
    try { body = encode(form, button); } catch (problem) { return true; }   // half a character: the browser encodes it
    if (!isSending) { ask(form, body); }
    return false;
  };
}

(function () {
  var i;
  for (i = 0; i < document.forms.length; i += 1) {
    if (/\bask\b/.test(document.forms[i].className)) { bindForm(document.forms[i]); }
  }
}());

// ---- The draft: typed text that has not been sent survives a reload. The id of its form is kept, too: if the question
//      was stored but the reply was lost, sending it again finds it. The start page and each chat have one. localStorage
//      may throw or be wiped; the name of the window then holds all drafts.

var question = byId('question'), draftKey = 'draft ' + (PAGE.chat || ''), BETWEEN = '\u0001';

function namedDraft() {
  var all = BETWEEN + window.name + BETWEEN, at = all.indexOf(BETWEEN + draftKey + ':') + 1;
  return at ? all.slice(at + draftKey.length + 1, all.indexOf(BETWEEN, at)) : '';
}

function nameDraft(draft) {
  var all = window.name.split(BETWEEN), kept = draft ? [draftKey + ':' + draft] : [], i;
  for (i = 0; i < all.length; i += 1) {
    if (all[i].indexOf('draft ') === 0 && all[i].indexOf(draftKey + ':') !== 0) { kept.push(all[i]); }
  }
  window.name = kept.join(BETWEEN);
}

function readDraft() {
  try { return namedDraft() || localStorage.getItem(draftKey) || ''; } catch (problem) { return namedDraft(); }
}

function storeDraft(draft) {
  try { localStorage.setItem(draftKey, draft); } catch (problem) { return false; }
  return true;
}

function keepDraft() {
  var draft = question.value && question.form.elements.form.value + ':' + question.value;
  if (!storeDraft(draft)) {
    nameDraft(draft);
  } else if (namedDraft()) {
    nameDraft('');
  }
}

function restoreDraft() {
  var draft = readDraft(), end = draft.indexOf(':');
  if (question.value || end < 0) { return; }
  question.form.elements.form.value = draft.slice(0, end);
  question.value = draft.slice(end + 1);
}

function dropDraft() {
  if (question) {
    question.value = '';
    keepDraft();
  }
}

function bindStarter(link) {
  link.onclick = function () {
    question.value = link.firstChild.nodeValue + ' ' + question.value;
    question.focus();
    keepDraft();
    return false;
  };
}

(function () {
  var links, i;
  if (!question) { return; }
  restoreDraft();
  question.oninput = question.onkeyup = question.onchange = keepDraft;
  links = byId('starters').getElementsByTagName('a');
  for (i = 0; i < links.length; i += 1) { bindStarter(links[i]); }
}());
