/* Forms that ask: the browser leaves the page only after the question is stored. Until then the text stays in its
   field, also while the network is away. */
var SEND_LIMIT = 20000;    // ms; old WebKit has no xhr.timeout

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
