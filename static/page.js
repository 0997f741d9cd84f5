/* Follows an answer while it is being written. ES5 at most, for WebKit 528 and up: one newer token would stop the
   whole script. The page works without it.

   The appliance sends settled blocks, and raw text behind them; a block empties that raw tail. Every response
   begins behind the last settled block, so a stream, a poll and a stream taken up again are all the same. */
(function () {
  var DRAW_EVERY = 500;      // ms: e-ink is slow, and each change flashes
  var POLL_EVERY = 2000;
  var POLL_LIMIT = 15000;    // old WebKit has no xhr.timeout
  var PATIENCE = 3000;       // without a byte; then we ask whether there is news that does not get through
  var MOST_PATIENCE = 15000;
  var RETRIES = [1000, 2000, 4000, 8000, 16000];

  var say = ANSWER.say;
  var settled = ANSWER.upto; // offset of the last block; only ever echoed, never counted here
  var tail = '';             // raw text behind it
  var blocks = [];           // HTML that has come and is not on the page yet
  var end = null;

  function byId(id) { return document.getElementById(id); }

  // ---- Drawing: at most every half second, only at the end of the page, and always once all has come.

  var drawTimer = null, drawnAt = 0, isLost = false;

  function wantDraw() {
    if (drawTimer === null) {
      drawTimer = setTimeout(draw, Math.max(0, drawnAt + DRAW_EVERY - new Date().getTime()));
    }
  }

  function draw() {
    var text = byId('text'), holder = document.createElement('div');
    drawTimer = null;
    drawnAt = new Date().getTime();
    if (blocks.length) {
      holder.innerHTML = blocks.join('\n');
      blocks = [];
      while (holder.firstChild) { text.appendChild(holder.firstChild); }
    }
    setText(byId('tail'), tail);
    if (end) {
      setText(byId('state'), end.note);
      document.body.className = 'reading ended ' + end.finish;
    } else if (isLost) {
      setText(byId('state'), say.lost + ' ');
      byId('state').appendChild(link(say.goOn, location.href));
    } else {
      setText(byId('state'), say.writing);
    }
  }

  function setText(element, text) {
    if (element.childNodes.length !== 1 || element.firstChild.nodeValue !== text) {
      element.innerHTML = '';
      element.appendChild(document.createTextNode(text));
    }
  }

  function link(text, address) {
    var element = document.createElement('a');
    element.href = address;
    element.appendChild(document.createTextNode(text));
    return element;
  }

  // ---- What one response says: lines, however the network cut them, each event's data as JSON on one line.

  function EventReader() {
    var partial = '', name = '', data = '', isFirst = true;

    this.askedToPoll = false;   // too many follow already
    this.feed = function (text) {
      var lines = (partial + text).split('\n'), i;
      partial = lines.pop();
      for (i = 0; i < lines.length; i += 1) { this.line(lines[i]); }
    };
    this.line = function (line) {
      if (line.indexOf('event: ') === 0) { name = line.slice(7); }
      if (line.indexOf('data: ') === 0) { data = line.slice(6); }
      if (line.indexOf('retry: ') === 0) { this.askedToPoll = true; }
      if (line === '' && name) {
        take(name, JSON.parse(data));
        name = '';
      }
    };
    function take(event, value) {
      if (isFirst) { tail = ''; isFirst = false; }   // this response begins behind the last block
      if (event === 'text') { tail += value; }
      if (event === 'block') { blocks.push(value.html); settled = value.upto; tail = ''; }
      if (event === 'end') { end = value; }
      wantDraw();
    }
  }

  // ---- One request. The callbacks get each piece of its text, and once whether it ended in good order.

  function get(query, onText, onClose) {
    var xhr = new XMLHttpRequest(), seen = 0, isOver = false;

    function read() {
      // On a cut connection PhantomJS (WebKit 534) empties responseText: what had come is in our state by then.
      var all = xhr.status === 200 ? xhr.responseText : '';
      if (all.length > seen) {
        onText(all.slice(seen));
        seen = all.length;
      }
    }
    xhr.onprogress = function () { if (!isOver) { read(); } };
    xhr.onreadystatechange = function () {
      if (isOver || xhr.readyState < 3) { return; }  // abort() reports readyState 4 once more
      read();
      if (xhr.readyState === 4) {
        isOver = true;
        onClose(xhr.status === 200);
      }
    };
    xhr.open('GET', ANSWER.url + '?as=events&from=' + settled + query, true);
    xhr.send(null);
    return { stop: function () { isOver = true; xhr.abort(); } };
  }

  // ---- Following: a stream first; polling where a network or a browser holds streams back. (No public report
  //      says that streaming works on every Kindle.)

  var isLeaving = false, retry = 0;

  function stream() {
    var reader = new EventReader(), patience = PATIENCE, silence, probe = null, request;

    function waitForText() {
      clearTimeout(silence);
      silence = setTimeout(ask, patience);
    }
    function ask() {
      var answer = '';
      patience = Math.min(patience * 2, MOST_PATIENCE);
      probe = get('&wait=0', function (text) { answer += text; }, function (isComplete) {
        probe = null;
        if (isComplete && isNews(answer)) {
          request.stop();
          poll();
        } else {
          waitForText();
        }
      });
    }
    request = get('', function (text) {
      if (probe) { probe.stop(); probe = null; }
      isLost = false;
      retry = 0;
      reader.feed(text);
      waitForText();
    }, function (isComplete) {
      clearTimeout(silence);
      if (probe) { probe.stop(); }
      if (isComplete && reader.askedToPoll) { poll(); } else { connectionEnded(stream); }
    });
    waitForText();
  }

  // Whether a probe's response tells more than the stream has told.
  function isNews(answer) {
    var had = tail, hadSettled = settled;
    new EventReader().feed(answer);
    return end !== null || settled !== hadSettled || tail !== had;
  }

  function poll() {
    var reader = new EventReader(), limit, request;
    request = get('&wait=0', function (text) { reader.feed(text); }, function (isComplete) {
      clearTimeout(limit);
      if (isComplete && !end) {
        isLost = false;
        retry = 0;
        wantDraw();
        setTimeout(poll, POLL_EVERY);
      } else {
        connectionEnded(poll);
      }
    });
    limit = setTimeout(function () { request.stop(); connectionEnded(poll); }, POLL_LIMIT);
  }

  function connectionEnded(again) {
    if (end || isLeaving) { return; }
    isLost = true;
    wantDraw();
    if (retry < RETRIES.length) {
      setTimeout(again, RETRIES[retry]);
      retry += 1;
    }
  }

  // Leaving the page cuts the connection, and that is no loss. Old WebKit cuts it before `pagehide`.
  window.onbeforeunload = function () { isLeaving = true; };

  // A request begun before `load` has been dealt with keeps PhantomJS's (WebKit 534) page loading until it ends.
  window.onload = function () { setTimeout(stream, 0); };
}());
