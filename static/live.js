/* Follows an answer while it is being written. The appliance sends settled blocks, and provisional HTML (the tail) of
   the text behind them. Every response begins after the last settled block, so a stream, a poll and a resumed stream
   are handled in the same way. */
var POLL_EVERY = 2000;
var POLL_LIMIT = 15000;    // old WebKit has no xhr.timeout
var PATIENCE = 3000;       // without a byte; then a poll checks whether the stream holds news back
var MOST_PATIENCE = 15000;
var PAUSE = 1000, MOST_PAUSE = 60000;   // between tries after a loss: doubled each time, to spare a Kindle's battery
var HALF_HOUR = 1800000;                // after which there are no more
var TICK = 2000, SLEEP = 10000;
var LEAVING = 3000;

// ---- The parser of one response. Chunks can end anywhere; the data of an event is JSON on one line.

function EventReader() {
  var partial = '', name = '', data = '', isFirst = true;

  this.askedToPoll = false;   // there are too many followers
  this.feed = function (more) {
    var lines = (partial + more).split('\n'), i, each;
    partial = lines.pop();
    for (i = 0; i < lines.length; i += 1) {
      each = lines[i];
      if (each.indexOf('event: ') === 0) { name = each.slice(7); }
      if (each.indexOf('data: ') === 0) { data = each.slice(6); }
      if (each.indexOf('retry: ') === 0) { this.askedToPoll = true; }
      if (!each && name) {
        take(name, parseJson(data));
        name = '';
      }
    }
  };
  function take(event, value) {
    // This response begins after the last block. An end alone takes away nothing that the page has.
    if (isFirst && event !== 'end') { tail = waiting = ''; isFirst = false; }
    if (event === 'state') { waiting = value; }
    if (event === 'tail') { tail = tail.slice(0, value.keep) + value.html; }
    if (event === 'block') { arrived.push(value.html); upto = value.upto; tail = ''; }
    if (event === 'end') { end = value; }
    wantDraw();
  }
}

// ---- One request. `onText` gets each new part of the response; `onClose`, once, whether it is complete.

function get(query, onText, onClose) {
  var xhr = new XMLHttpRequest(), seen = 0, isOver = false;

  function read() {
    // When a connection is lost, PhantomJS (WebKit 534) empties responseText; its earlier text has been processed.
    var all = xhr.status === 200 ? xhr.responseText : '';
    if (all.length > seen) {
      onText(all.slice(seen));
      seen = all.length;
    }
  }
  xhr.onprogress = function () { if (!isOver) { read(); } };
  xhr.onreadystatechange = function () {
    if (isOver || xhr.readyState < 3) { return; }  // abort() reports readyState 4 again
    read();
    if (xhr.readyState === 4) {
      isOver = true;
      if (xhr.status === 404) { new EventReader().feed(xhr.responseText); }   // of a deleted chat: nothing but an `end`
      onClose(xhr.status === 200);
    }
  };
  xhr.open('GET', '/answers/' + PAGE.answer + '?as=events&hyphens=' + PAGE.hyphens + '&from=' + upto + query, true);
  xhr.send(null);
  return { stop: function () { isOver = true; xhr.abort(); } };
}

// ---- Following: first a stream; polling if the network or the browser buffers streams. (There is no public report
//      that streaming works on every Kindle.)

var isLeaving = false;
var again = stream, timer = null, pause = PAUSE, lastTry = null, stopFollowing = null;

function stream() {
  var reader = new EventReader(), patience = PATIENCE, silence, probe = null, request;

  function waitForText() {
    clearTimeout(silence);
    if (!end) { silence = setTimeout(askOnce, patience); }
  }
  function askOnce() {
    var answer = '';
    patience = Math.min(patience * 2, MOST_PATIENCE);
    probe = get('&wait=0', function (more) { answer += more; }, function (isComplete) {
      clearTimeout(silence);
      probe = null;
      if (!isComplete) { giveUp(); } else if (isNews(answer)) { request.stop(); poll(); } else { waitForText(); }
    });
    silence = setTimeout(giveUp, POLL_LIMIT);
  }
  stopFollowing = function () {
    clearTimeout(silence);
    if (probe) { probe.stop(); }
    request.stop();
  };
  request = get('', function (more) {
    if (probe) { probe.stop(); probe = null; }
    wakeUp();
    reader.feed(more);
    if (end) { stopFollowing(); } else { waitForText(); }
  }, function (isComplete) {
    clearTimeout(silence);
    if (probe) { probe.stop(); }
    if (isComplete && reader.askedToPoll) { poll(); } else { connectionEnded(); }
  });
  waitForText();
}

// Whether a poll's response has more than the stream has delivered.
function isNews(answer) {
  var had = tail, hadUpto = upto;
  new EventReader().feed(answer);
  return end !== null || upto !== hadUpto || tail !== had;
}

function poll() {
  var reader = new EventReader(), limit, request;
  again = poll;
  request = get('&wait=0', function (more) { reader.feed(more); }, function (isComplete) {
    clearTimeout(limit);
    if (isComplete && !end) {
      wakeUp();
      timer = setTimeout(poll, POLL_EVERY);
    } else {
      connectionEnded();
    }
  });
  stopFollowing = function () { clearTimeout(limit); request.stop(); };
  limit = setTimeout(giveUp, POLL_LIMIT);
}

// A poll gets no response either, so the connection is treated as lost.
function giveUp() {
  stopFollowing();
  connectionEnded();
}

// ---- Losing the connection, and trying again.

function wakeUp() {
  if (isLost) {
    isLost = false;
    clearTimeout(lastTry);
    wantDraw();
  }
}

function connectionEnded() {
  if (end) {
    clearTimeout(lastTry);
  } else if (isLeaving) {
    timer = setTimeout(connectionEnded, LEAVING + 500);
  } else {
    if (!isLost) {
      isLost = true;
      beginTries();
    }
    if (isTrying) {
      timer = setTimeout(again, pause);
      pause = Math.min(2 * pause, MOST_PAUSE);
    }
  }
}

function beginTries() {
  pause = PAUSE;
  isTrying = true;
  wantDraw();
  clearTimeout(lastTry);
  lastTry = setTimeout(function () {
    clearTimeout(timer);
    isTrying = false;
    wantDraw();
  }, HALF_HOUR);
}

function tryNow() {
  stopFollowing();
  clearTimeout(timer);
  if (isLost) { beginTries(); }
  again();
}

// The network is back, or somebody looks at the page again. Old WebKit knows neither `hidden` nor its event.
window.ononline = window.onfocus = document.onvisibilitychange = function () {
  if (isLost && !end && !document.hidden) { tryNow(); }
};

// A Kindle that slept has lost its connection and often does not notice. A jump of the clock shows that it slept, or
// that the page lay in the browser's back-forward cache.
function watchClock(before) {
  setTimeout(function () {
    if (end) { return; }
    if (now() - before > TICK + SLEEP) { tryNow(); }
    watchClock(now());
  }, TICK);
}

// Leaving the page closes the connection, which must not be shown as a lost one. Old WebKit closes it before `pagehide`.
// If the page is still there after a while, it was not left: the link led to a download, or did not open.
window.onbeforeunload = function () {
  isLeaving = true;
  setTimeout(function () { isLeaving = false; }, LEAVING);
};

// Stops the answer without leaving the page, so that the text stays where it is.
byId('stop').onsubmit = function () {
  isStopping = true;
  wantDraw();
  post('/answers/' + PAGE.answer + '/stop', '', function () {
    isStopping = false;      // after a failure, it is still being written
    wantDraw();
  });
  return false;
};

// Not by its address, which would lose the place.
onTap('refresh', function () { location.reload(); });

drawText();

// In PhantomJS (WebKit 534) a request that starts before the `load` handlers end keeps the page loading until it ends.
window.onload = function () {
  setTimeout(function () {
    stream();
    watchClock(now());
  }, 0);
};
