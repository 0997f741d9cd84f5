"""The clock of a page, turned by the test: half an hour of pauses passes in a moment.

The page's timers wait for this clock. It goes as usual while a request of the page is under way, so that a slow
machine changes nothing; while there is none, it leaps from timer to timer, as far as the test lets it.
"""

from __future__ import annotations

from .browser import Browser

_CLOCK = """
    var set = window.setTimeout, clear = window.clearTimeout, read = Date.prototype.getTime;
    var send = XMLHttpRequest.prototype.send, abort = XMLHttpRequest.prototype.abort;
    var timers = {}, count = 0, leapt = 0, until = 0, open = [];
    var clock = window.clock = {tries: 0};

    clock.now = function () { return read.call(new Date()) + leapt; };
    clock.leapTo = function (end) { until = end; };
    clock.isThere = function () { return until <= clock.now() && open.length === 0; };
    clock.hasTick = function () {
      for (var id in timers) {
        if (String(timers[id].action).indexOf('watchClock') > 0) { return true; }
      }
      return false;
    };

    window.setTimeout = function (action, ms) {
      if (typeof action === 'string') { return set(action, ms); }   // of the driver of WebKit 533
      count += 1;
      timers['t' + count] = {at: clock.now() + (ms || 0), action: action};
      return 't' + count;
    };
    window.clearTimeout = function (id) {
      if (typeof id === 'string') { delete timers[id]; } else { clear(id); }
    };
    Date.prototype.getTime = function () { return read.call(this) + leapt; };

    function close(request) {
      var i;
      for (i = open.length - 1; i >= 0; i -= 1) {
        if (open[i] === request) { open.splice(i, 1); }
      }
    }
    XMLHttpRequest.prototype.send = function (body) {
      var request = this;
      clock.tries += 1;
      open.push(request);
      request.addEventListener('readystatechange', function () {
        if (request.readyState === 4) { set(function () { close(request); }, 0); }   // once the page knows
      }, false);
      send.call(request, body);
    };
    XMLHttpRequest.prototype.abort = function () { close(this); abort.call(this); };

    function soonest() {
      var id, found = null;
      for (id in timers) {
        if (found === null || timers[id].at < timers[found].at) { found = id; }
      }
      return found;
    }
    function step() {
      var id = soonest(), timer = timers[id], to = timer ? Math.min(timer.at, until) : until;
      if (open.length === 0) { leapt += Math.max(0, to - clock.now()); }
      if (!timer || timer.at > clock.now()) { return false; }
      delete timers[id];
      timer.action();
      return true;
    }
    setInterval(function () {
      var steps = 50;
      while (steps && step()) { steps -= 1; }
    }, 1);
"""


def take_clock(browser: Browser) -> None:
    """Install the clock on a page that follows an answer; returns once the page's own tick waits for it. An earlier
    tick would take the first leap for a sleep.
    """
    browser.script(_CLOCK)
    browser.wait_until("clock.hasTick()")


def shift_clock(browser: Browser, seconds: int) -> None:
    """Set the clock forward, or back, and leave the timers as they are: so it is after a machine has slept."""
    browser.script(
        "var getTime = Date.prototype.getTime, ms = arguments[0] * 1000;"
        "Date.prototype.getTime = function () { return getTime.call(this) + ms; };",
        seconds,
    )


def pass_minutes(browser: Browser, minutes: float) -> int:
    """Let so many minutes of the page pass, and the requests in them end. Returns the number of requests."""
    browser.script("clock.tries = 0; clock.leapTo(clock.now() + arguments[0] * 60000);", minutes)
    browser.wait_until("clock.isThere()", 30)
    return int(browser.script("return clock.tries"))
