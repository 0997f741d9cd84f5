/* Tests what the browser that opened /check can do, shows the results in plain words and sends them to the appliance.
   ES5, for WebKit 528 and newer. Features that an old engine may lack are used only inside `attempt`.

   The user agent is read here only to be shown; no decision depends on it, here or elsewhere. */
(function () {
  var ZOOMED = 1.05;         // a smaller factor is the effect of a scroll bar
  var LIMIT = 10000;         // ms
  var TOO_LATE = -1;         // used as a status

  var root = document.documentElement;
  var found = { page: '', keyboard: null, zoom: null, answers: null, pieces: 0, first: null };
  var say = given(), now = Number(say.madeAt), ownZone = Number(say.ownZone);
  var isTested = false, isTyping = false, taps = 0, firstZoom = 0, lowest = null;

  function byId(id) { return document.getElementById(id); }
  function attempt(test) { try { return test(); } catch (error) { return null; } }
  function time() { return new Date().getTime(); }
  function round(number) { return Math.round(number * 100) / 100; }
  // Sentences and figures come in hidden fields, so that the script never changes.
  function given() {
    var fields = byId('say').getElementsByTagName('input'), all = {}, i;
    for (i = 0; i < fields.length; i += 1) { all[fields[i].name] = fields[i].value; }
    return all;
  }
  function put(text, place, value) { return text.split('%(' + place + ')s').join(value); }
  function setText(element, text) {
    element.innerHTML = '';
    element.appendChild(document.createTextNode(text));
  }

  // ---- Tests that give a result at once

  var METHODS = [[Function.prototype, 'bind'], [Array.prototype, 'forEach'], [Array.prototype, 'map'],
    [Array.prototype, 'indexOf'], [Object, 'keys'], [Date, 'now'], [String.prototype, 'trim']];

  function testFeatures() {
    var i, name;
    function take(name, result) {
      if (result === null) { found.untested.push(name); }
      if (result === false) { found.lacks.push(name); }
    }
    found.lacks = [];
    found.untested = [];
    for (i = 0; i < METHODS.length; i += 1) {
      name = METHODS[i][1];
      take(name, typeof METHODS[i][0][name] === 'function');
    }
    take('JSON', typeof window.JSON === 'object');
    take('ISO Date.parse', attempt(function () { return Date.parse('2020-01-01T00:00:00Z') === 1577836800000; }));
    take('{ delete: 1 }', attempt(function () {
      try {
        new Function('return 1')();
      } catch (error) {  // forbidden by our content policy: an engine that knows it passes this test
        if (error instanceof EvalError) { return true; }
        throw error;
      }
      return attempt(function () { return new Function('return { delete: 1 }.delete')(); }) === 1;
    }));
  }

  function hasCookie(name) { return document.cookie.indexOf(name + '=' + now) >= 0; }

  function testMemory() {
    found.cookies = attempt(function () {
      document.cookie = 'script=' + now + '; path=/check';
      return hasCookie('script');
    });
    found.sentCookies = attempt(function () { return hasCookie('server'); });
    found.storage = attempt(function () {
      localStorage.setItem('check', now);
      var isKept = localStorage.getItem('check') === String(now);
      localStorage.removeItem('check');
      return isKept;
    }) === true;
    found.windowName = attempt(function () {
      var before = window.name, isKept;  // it may hold a draft
      window.name = 'check';
      isKept = window.name === 'check';
      window.name = before;
      return isKept;
    });
  }

  function testEngine() {
    var agent = String(attempt(function () { return navigator.userAgent; })).slice(0, 600);
    var chromium = /Chrome\/(\d+)/.exec(agent), other = /(?:Apple)?(WebKit|NetFront)\/([\d.]+)/.exec(agent);
    found.agent = agent;
    found.engine = chromium ? 'Chromium ' + chromium[1] : other ? other[1] + ' ' + other[2] : '?';
    found.screen = attempt(function () { return screen.width + ' x ' + screen.height; });
    found.ratio = attempt(function () { return window.devicePixelRatio || null; });
    found.clock = Math.round((time() - now) / 1000);
    found.zone = -new Date().getTimezoneOffset();
  }

  // ---- Sizes: of the page, with the keyboard open, and after a double tap

  // In old WebKit `innerWidth` is the visible width; in Chromium it stays the same, and there is a scale instead.
  function zoom() {
    var scale = attempt(function () { return window.visualViewport.scale; });
    return scale || (window.innerWidth ? root.clientWidth / window.innerWidth : 0);
  }

  function measure() {
    var height = window.innerHeight, size = root.clientWidth + ' x ' + height;
    // A Paperwhite 3 reports 0 x 0 pixels at `load`, and the right size at `resize`.
    if (!firstZoom || !isTested) {
      firstZoom = zoom();
      found.page = size;
    }
    if (isTyping && (lowest === null || height < lowest)) {
      lowest = height;
      found.keyboard = size;
    }
    if (firstZoom && (taps > 1 || zoom() / firstZoom > ZOOMED)) {
      found.zoom = Math.max(found.zoom, round(zoom() / firstZoom));
    }
    if (isTested) { show(); }
  }

  // ---- Whether a response arrives in parts, as answers should

  function request(method, body, address, whenNews, whenOver) {
    var xhr = new XMLHttpRequest(), isOver = false, limit;
    function close(status, text) {
      isOver = true;
      clearTimeout(limit);
      whenOver(status, text);
    }
    xhr.onprogress = xhr.onreadystatechange = function () {
      var text;
      if (isOver || xhr.readyState < 3) { return; }  // abort() reports readyState 4 again
      text = attempt(function () { return xhr.responseText; }) || '';
      if (xhr.readyState === 4) { close(xhr.status, text); } else { whenNews(text); }
    };
    xhr.open(method, address, true);
    if (body) { xhr.setRequestHeader('Content-Type', 'application/json'); }
    xhr.send(body);
    limit = setTimeout(function () { close(TOO_LATE, ''); xhr.abort(); }, LIMIT);
  }

  function testStream(whenOver) {
    var begun = time(), seen = 0;
    function count(text) { return text.split('data: ').length - 1; }

    request('GET', null, '/check/stream', function (text) {
      if (count(text) > seen) {
        seen = count(text);
        found.pieces += 1;
        if (found.first === null) { found.first = time() - begun; }
      }
    }, function (status, text) {
      // No: all parts came together at the end, or none within the limit. Unknown: the appliance was busy or is gone.
      found.answers = found.pieces > 1 || (count(text) || status === TOO_LATE ? false : null);
      whenOver();
    });
  }

  // ---- Results as sentences

  function clockWords() {
    var seconds = Math.abs(found.clock), words;
    if (seconds < 120) { return say.clock; }
    words = put(say.minutes, 'count', Math.round(seconds / 60));
    if (seconds >= 7200) { words = put(say.hours, 'count', Math.round(seconds / 3600)); }
    if (seconds >= 172800) { words = put(say.days, 'count', Math.round(seconds / 86400)); }
    return put(found.clock > 0 ? say.ahead : say.behind, 'time', words);
  }

  function zoneName(minutes) {
    var size = Math.abs(minutes), rest = size % 60;
    return (minutes < 0 ? '-' : '+') + (size - rest) / 60 + ':' + (rest < 10 ? '0' : '') + rest;
  }

  function hasCookies() { return found.cookies === true && found.sentCookies === true; }

  function sentences() {
    var all = [], zone;
    function add(text, place, value) { all.push(place ? put(text, place, value) : text); }

    add(put(found.keyboard ? say.keyboard : say.page, 'size', found.page), 'open', found.keyboard);
    if (found.screen) { add(say.screen, 'size', found.screen); }
    if (found.ratio) { add(say.ratio, 'ratio', round(found.ratio)); }
    if (found.zoom !== null) { add(found.zoom > ZOOMED ? say.zooms : say.stays, 'times', found.zoom); }
    add(found.answers === null ? say.liveUnknown : found.answers ? say.live : say.late);
    if (found.lacks.length) { add(say.lacks, 'names', found.lacks.join(', ')); }
    if (found.untested.length) { add(say.untested, 'names', found.untested.join(', ')); }
    if (!found.lacks.length && !found.untested.length) { add(say.complete); }
    add(say.cookies, 'kept', hasCookies() ? say.yes : say.no);
    add(say.storage, 'kept', found.storage ? say.yes : say.no);
    add(clockWords());
    zone = found.zone === ownZone ? say.sameZone : put(say.zone, 'own', zoneName(ownZone));
    add(zone, 'zone', zoneName(found.zone));
    add(say.agent, 'name', found.agent);
    return all;
  }

  // A row of the table in the README, which is in English.
  function row() {
    function yes(is) { return is === null ? '-' : is ? 'yes' : 'no'; }
    return '| ' + [
      found.device.replace(/\|/g, '/') || '?', found.engine, found.page, found.keyboard || '-',
      found.zoom === null ? '-' : found.zoom > ZOOMED ? 'x ' + found.zoom : 'no',
      found.ratio ? round(found.ratio) : '-',
      yes(found.answers), found.lacks.join(', ') || 'nothing', yes(hasCookies()), yes(found.storage)
    ].join(' | ') + ' |';
  }

  function show() {
    var result = byId('result'), words, i, line;
    found.device = byId('device').value;
    words = sentences();
    found.row = row();
    result.innerHTML = '';
    for (i = 0; i < words.length; i += 1) {
      line = document.createElement('p');
      setText(line, words[i]);
      result.appendChild(line);
    }
    setText(byId('row'), found.row);
  }

  // ---- Sending: with our own JSON encoder, because the oldest engines have none

  function json(value) {
    var parts = [], isList = value instanceof Array, key;
    if (typeof value === 'string') {
      return '"' + value.replace(/[^ !#-\[\]-~]/g, function (c) {
        return '\\u' + ('000' + c.charCodeAt(0).toString(16)).slice(-4);
      }) + '"';
    }
    if (value === null || typeof value !== 'object') { return String(value); }
    for (key in value) { parts.push((isList ? '' : json(key) + ':') + json(value[key])); }
    return isList ? '[' + parts.join() + ']' : '{' + parts.join() + '}';
  }

  function send() {
    measure();
    byId('send').disabled = true;
    setText(byId('state'), say.sending);
    request('POST', json(found), '/check', function () {}, function (status) {
      var isSent = status === 204;
      setText(byId('state'), isSent ? say.sent : say.notSent);
      if (!isSent) { byId('send').value = say.sendAgain; }
      byId('send').disabled = isSent;
    });
  }

  // ---- Start

  function start() {
    testFeatures();
    testMemory();
    testEngine();
    measure();
    testStream(function () {
      measure();
      isTested = true;
      show();
      document.body.className = 'check tested';
    });
  }

  setText(byId('before'), say.testing);
  window.onresize = function () { fit(); measure(); };
  byId('device').onfocus = function () { isTyping = true; measure(); setTimeout(measure, 1000); };
  byId('device').onblur = function () { isTyping = false; show(); };
  byId('box').onclick = function () { taps += 1; setTimeout(measure, 1000); };
  byId('send').onmousedown = function () { return false; };  // keeps the on-screen keyboard open
  byId('send').onclick = send;

  // In PhantomJS (WebKit 534) a request that starts before the `load` handlers end keeps the page loading until it ends.
  window.onload = function () { setTimeout(start, 0); };
}());
