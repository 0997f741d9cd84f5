/* The draft: typed text that has not been sent survives a reload. The id of its form is kept, too: if the question was
   stored but the reply was lost, sending it again finds it. The start page and each chat have one. localStorage may throw
   or be wiped; the name of the window then holds all drafts. */
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

onAsked = function () {
  question.value = '';
  keepDraft();
};

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
  restoreDraft();
  question.oninput = question.onkeyup = question.onchange = keepDraft;
  links = byId('starters').getElementsByTagName('a');
  for (i = 0; i < links.length; i += 1) { bindStarter(links[i]); }
}());
