/* The reading position: [block, line in it, number of its lines]. The URL keeps it over a reload, and a cookie until the
   answer is opened again. In the tail, which is not yet whole, the number of lines is 0.

   The cookie has an entry for each of the last answers, the newest last: id, position, page, and number of pages, 0 as
   long as nobody knows that. All numbers are to base 36. The server reads it too: "page 3 of 6", say its lists. */
var MOST_PLACES = 20, MOST_BYTES = 400;

var ownEntry = PAGE.answer.toString(36) + '.';   // how the entry of this answer begins
var keptEntry = '';        // as this page has written it
var place = placeInUrl() || placeInCookie();
if (place) { nameInUrl(); }

function placeAt(y) {
  var index = lastAbove(blocks, y + 1), block = blocks[index];
  return y > 0 && block ? [index, Math.round((y - block.offsetTop) / line), index < settled ? linesOf(block) : 0] : null;
}

function linesOf(block) { return Math.round(block.offsetHeight / line); }

function placeInUrl() {
  var match = /^#(\d+)\.(\d+)\.(\d+)$/.exec(location.hash);
  return match && [Number(match[1]), Number(match[2]), Number(match[3])];
}

function placeInCookie() {
  var match = /\.([\da-z]{1,9})\.([\da-z]{1,9})\.([\da-z]{1,9})\.\w+\.\w+$/.exec(keptEntries(true)[0]);
  return match && [parseInt(match[1], 36), parseInt(match[2], 36), parseInt(match[3], 36)];
}

// It is no step of the history. For WebKit 534 `replace` does not change the step either, so that Back would lead to the
// first page; and for 533 `replaceState` does not change the URL. Both would stop a load that has just begun.
function nameInUrl() {
  var fragment = '#' + (place ? place.join('.') : '');
  if ((location.hash || '#') === fragment) { return; }
  location.replace(fragment);
  if (history.replaceState) { history.replaceState(null, '', fragment); }
}

// What the cookie has now, of this answer or of others: another window may have changed it.
function keptEntries(isOwn) {
  var match = /(?:^|; )places=([\da-z._]+)/.exec(document.cookie), all = match ? match[1].split('_') : [], found = [], i;
  for (i = 0; i < all.length; i += 1) { if ((all[i].indexOf(ownEntry) === 0) === isOwn) { found.push(all[i]); } }
  return found;
}

function isEnded() { return /\bended\b/.test(document.body.className); }

// Keeps the position and the number of the page on the screen.
function keepPlace() {
  var entry = '', numbers, all, i;
  if (place) {
    if (!place[2] && place[0] < settled) { place[2] = linesOf(blocks[place[0]]); }   // it has settled since
    numbers = place.concat(shown + 1, isEnded() ? pages.length : 0);
    for (i = 0; i < numbers.length; i += 1) { numbers[i] = numbers[i].toString(36); }
    entry = ownEntry + numbers.join('.');
  }
  if (entry === keptEntry) { return; }
  keptEntry = entry;
  all = keptEntries(false);
  if (entry) { all.push(entry); }
  while (all.length > MOST_PLACES || ('places=' + all.join('_')).length > MOST_BYTES) { all.shift(); }
  keepCookie('places', all.join('_'));
}

function pageOf(wanted) {
  var block, at, lines;
  if (!wanted) { return 0; }
  block = blocks[wanted[0]];
  if (!block) { return pages.length - 1; }       // it is not there yet
  at = wanted[1];
  lines = linesOf(block);
  if (at < wanted[2]) {                          // it had settled: go to the same fraction of the block
    at = Math.min(Math.floor(at * lines / wanted[2]), Math.max(0, lines - 1));
  } else if (wanted[2]) {                        // so far behind the block
    at += lines - wanted[2];
  }
  return pageAt(block.offsetTop + at * line);
}

// The index of the page on which this line of the flow is, if it is repeated the first one.
function pageAt(y) {
  var low = -1, high = pages.length - 1, middle;
  while (high - low > 1) {
    middle = (low + high) >> 1;
    if (pages[middle].end <= y) { low = middle; } else { high = middle; }
  }
  return high;
}

// A bookmark of this very answer, or the way back from a fragment. Other fragments, as of the panels, are no positions.
window.onhashchange = function () {
  var wanted = placeInUrl();
  if (location.hash && !wanted || String(wanted) === String(place)) { return; }
  place = wanted;
  if (fittedWidth) { show(pageOf(place)); }
};
