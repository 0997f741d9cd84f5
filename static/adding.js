/* Adding a book: the file is sent without leaving the page, which says how much of it has gone. Where a browser cannot
   do that, it sends the form itself. What e-ink shows is drawn twice a second at most. */
var REDRAW = 500, SAY = PAGE.adding;    // REDRAW in ms

// WebKit disables the field where no files can be chosen, as on Kindles. A type that a browser does not know is text.
function takesFiles(field) { return field.type === 'file' && !field.disabled; }

function send(form, file) {
  var xhr = new XMLHttpRequest(), data = new window.FormData(), drawn = now();

  xhr.upload.onprogress = function (event) {
    var isWhole = event.lengthComputable && event.loaded >= event.total;
    if (isWhole) {
      setNote('sent', SAY.reading);
    } else if (event.lengthComputable && now() - drawn >= REDRAW) {
      drawn = now();
      setNote('sent', SAY.sending.replace('{done}', Math.floor(100 * event.loaded / event.total) + '\u00a0%'));
    }
  };
  xhr.onreadystatechange = function () {
    var reply = {};
    if (xhr.readyState !== 4) { return; }
    try { reply = parseJson(xhr.responseText) || {}; } catch (problem) { reply = {}; }   // empty, or from a proxy
    form.isBusy = false;    // also if the page is left: on the way back it may be shown as it was
    if (xhr.status === 201 && reply.url) {
      setNote('sent', '');
      location.href = reply.url;
    } else {
      setNote('sent', reply.error || SAY.notSent);
    }
  };
  form.isBusy = true;
  setNote('sent', SAY.sending.replace('{done}', '0\u00a0%'));
  data.append('book', file);
  xhr.open('POST', form.action, true);
  xhr.setRequestHeader('Accept', 'application/json');
  xhr.send(data);
}

(function () {
  var form = byId('adding'), field = byId('file');
  if (!form) { return; }
  if (!takesFiles(field)) { mark(form, 'blank', true); }
  form.onsubmit = function () {
    if (!field.files || !window.FormData || !new XMLHttpRequest().upload) { return true; }
    if (form.isBusy) { return false; }
    if (!field.files.length) {
      setNote('sent', SAY.noFile);
    } else if (field.files[0].size > SAY.mostBytes) {
      setNote('sent', SAY.tooLarge);    // before minutes of sending
    } else {
      send(form, field.files[0]);
    }
    return false;
  };
}());
