/* Forms that ask: the browser leaves the page only after the question is stored. Until then the text stays in its
   field, also while the network is away. */
var SEND_LIMIT = 20000;    // ms; old WebKit has no xhr.timeout

var isSending = false;
var onAsked = function () {};   // what else this page does once a question is stored

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
  post(form.action, body, function (status, text) {
    var reply = {};
    isSending = false;
    try { reply = parseJson(text) || {}; } catch (problem) { reply = {}; }   // empty, or from a proxy
    // The chat was deleted: the typed question starts a new one. Its draft stays apart from that of the start page.
    if (status === 404 && form.elements.chat) { form.elements.chat.value = ''; }
    if (status === 201 && reply.url) {
      onAsked();
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
