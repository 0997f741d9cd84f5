/* Shows an answer in pages. All lines stand on a baseline grid (page.css), so the page breaks can be computed without
   measuring single lines. Settled text never moves: new text only adds pages. */
var leaf = byId('leaf'), clip = byId('clip'), flow = byId('flow'), text = byId('text'), tail = byId('tail');
var settled = [];          // the question, and the blocks of the answer, as elements
var line = 1, room = 1;    // px: the height of a line and of a page
var pages = [];            // for each page, in px of the flow: its top, its end, and the top of the next page
var still = 0;             // px of the flow: everything above has settled
var shown = 0;             // the index of the page on the screen
var place = readPlace();   // the reading position, kept over a reload, a new text size or a rotation

// ---- Blocks

// Registers the blocks after `last`.
function takeBlocks(last) {
  var each = last.parentNode === text ? last.nextSibling : text.firstChild;
  for (; each; each = each.nextSibling) {
    if (each.nodeType === 1) {
      settled.push(each);
      fitTables(each);
    }
  }
}

// The elements after the blocks: the text that has not settled, and the links and forms at the end, as one element if
// they fit on a page.
function rest() {
  var found = tail.offsetHeight ? [tail] : [], after = byId('after'), each = after.firstChild;
  if (after.offsetHeight && after.offsetHeight <= room) { return found.concat(after); }
  for (; each; each = each.nextSibling) {
    if (each.nodeType === 1 && each.offsetHeight) { found.push(each); }
  }
  return found;
}

// The index of the last of these elements that begins above `y`; -1 if none does.
function lastAbove(elements, y) {
  var low = -1, high = elements.length, middle;
  while (high - low > 1) {
    middle = (low + high) >> 1;
    if (elements[middle].offsetTop < y) { low = middle; } else { high = middle; }
  }
  return low;
}

// Whether only the heading of this element would stand at the end of the page from `top` to `y`.
function headsNext(element, top, y) {
  var isTableHead = element.tHead && y - element.offsetTop <= element.tHead.offsetHeight;
  return element.offsetTop > top && (isHeading(element) || isTableHead);
}

function isHeading(element) { return /^H[1-6]$/.test(element.nodeName); }

// ---- Tables: rows that do not fit are stacked. All pieces of a table are laid out like the first.

var tableBefore = null;

function fitTables(block) {
  var tables = block.nodeName === 'TABLE' ? [block] : block.getElementsByTagName('table'), i;
  for (i = 0; i < tables.length; i += 1) { fitTable(tables[i]); }
}

function fitTable(table) {
  var goesOn = tableBefore && /\bon\b/.test(table.className), isStacked;
  if (goesOn) {
    isStacked = /\bstacked\b/.test(tableBefore.className);
  } else {
    mark(table, 'stacked', false);
    mark(table, 'fitted', false);
    mark(table, 'measured', true);
    isStacked = table.offsetWidth > table.parentNode.clientWidth;
    mark(table, 'measured', false);
  }
  mark(table, 'stacked', isStacked);
  mark(table, 'fitted', !isStacked && !goesOn);
  if (goesOn) { copyWidths(tableBefore, table, isStacked); }
  tableBefore = table;
}

function copyWidths(model, table, isStacked) {
  var cells = model.rows[0].cells, copies = table.rows[0].cells, i;
  for (i = 0; i < cells.length && i < copies.length; i += 1) {
    copies[i].style.width = isStacked ? 'auto' : 100 * cells[i].offsetWidth / model.offsetWidth + '%';
  }
}

// ---- Pages

function paginate() {
  var last = rest(), height = flow.offsetHeight, page;
  do { pages.pop(); } while (pages.length && pages[pages.length - 1].end > still);   // these had unsettled text
  do {
    page = cut(pages.length ? pages[pages.length - 1].next : 0, last, height);
    pages.push(page);
  } while (page.end < height);
  still = tail.offsetTop;
}

// The page that begins at `top`, with as many lines as fit. But a heading stays with the text below it, and elements
// that are not text (the links and forms at the end) are not split.
function cut(top, last, height) {
  var y = top + room, next, index, block;
  if (y >= height) { return { top: top, end: height, next: height }; }
  index = lastAbove(last, y);
  if (index >= 0) {
    block = last[index];
    if (block !== tail && block.offsetTop > top && block.offsetTop + block.offsetHeight > y) { y = block.offsetTop; }
  } else {
    for (index = lastAbove(settled, y); index > 1 && headsNext(settled[index], top, y); index -= 1) {
      y = settled[index].offsetTop;
    }
  }
  next = y;
  block = settled[lastAbove(settled, y + 1)];
  if (block && block.offsetTop === y && isHeading(block)) { next += line; }   // at the top no blank line above it
  return { top: top, end: y, next: next };
}

function show(index) {
  var page;
  shown = Math.max(0, Math.min(index, pages.length - 1));
  page = pages[shown];
  clip.style.height = page.end - page.top + 'px';
  flow.style.top = -page.top + 'px';
  setText(byId('count'), PAGE.say.page.replace('{page}', shown + 1).replace('{pages}', pages.length));
  mark(byId('back'), 'off', shown === 0);
  mark(byId('next'), 'off', shown === pages.length - 1);
}

function turn(step) {
  if (!pages[shown + step]) { return; }
  show(shown + step);
  place = placeAt(pages[shown].top);
  location.replace('#' + (place ? place.join('.') : ''));
}

// Adds new text: settled elements after `last`, or only a changed tail.
function grow(last) {
  takeBlocks(last);
  if (!fittedWidth) { return; }                  // the first layout takes all of them
  paginate();
  show(shown);
}

// ---- The reading position: [block, line in it, number of its lines], kept in the URL. In the tail the number is 0.

function placeAt(y) {
  var index = lastAbove(settled, y + 1), block = settled[index];
  if (y === 0 || !block) { return null; }
  if (index === settled.length - 1 && y >= tail.offsetTop) {
    return [settled.length, Math.round((y - tail.offsetTop) / line), 0];
  }
  return [index, Math.round((y - block.offsetTop) / line), Math.round(block.offsetHeight / line)];
}

function readPlace() {
  var match = /^#(\d+)\.(\d+)\.(\d+)$/.exec(location.hash);
  return match && [Number(match[1]), Number(match[2]), Number(match[3])];
}

function pageOf(wanted) {
  var block, lines, y, index;
  if (!wanted) { return 0; }
  block = settled[wanted[0]] || tail;
  y = block.offsetTop + wanted[1] * line;
  if (wanted[2]) {                               // it had settled: go to the same fraction of the block
    lines = Math.round(block.offsetHeight / line);
    y = block.offsetTop + Math.min(Math.floor(wanted[1] / wanted[2] * lines), Math.max(0, lines - 1)) * line;
  }
  for (index = 0; index < pages.length - 1 && pages[index].end <= y; index += 1) { }
  return index;
}

// ---- Taps: the right third of the page turns forward, the left third back, also while the page is zoomed.

function isControl(element) {
  for (; element && element !== leaf; element = element.parentNode) {
    if (/^(A|INPUT|BUTTON)$/.test(element.nodeName)) { return true; }
  }
  return false;
}

function tapTurn(step) {
  turn(step);
  hintAtZoom();
}

function hintAtZoom() {
  var hint = byId('zoomed');
  if (isZoomed() && !hint) {
    hint = document.createElement('div');
    hint.id = 'zoomed';
    setText(hint, PAGE.say.zoomed);
    document.body.appendChild(hint);
  }
  if (hint) {
    hint.style.display = isZoomed() ? 'block' : 'none';
    hint.style.left = window.pageXOffset + 'px';
    hint.style.top = window.pageYOffset + 'px';
  }
}

var HURRY = 1000;          // ms
var tapped = { at: 0, x: 0, y: 0 };

// A second tap shortly after a first is not meant for a link that has just appeared under the finger.
function isHasty(event) {
  var near = room / 8;
  return now() - tapped.at < HURRY && Math.abs(event.pageX - tapped.x) < near && Math.abs(event.pageY - tapped.y) < near;
}

leaf.onclick = function (event) {
  var third = event.pageX / root.clientWidth * 3;
  if (isControl(event.target)) { return !isHasty(event); }
  if (String(window.getSelection()) || (third > 1 && third < 2)) { return true; }
  tapped = { at: now(), x: event.pageX, y: event.pageY };
  tapTurn(third < 1 ? -1 : 1);
  return true;
};
onTap('back', function () { tapTurn(-1); });
onTap('next', function () { tapTurn(1); });
document.onkeydown = function (event) {          // for Kindles with keys, and for computers
  if (/^(INPUT|TEXTAREA)$/.test(event.target.nodeName)) { return; }
  if (event.keyCode === 33 || event.keyCode === 37) { turn(-1); }
  if (event.keyCode === 34 || event.keyCode === 39) { turn(1); }
};

whenFitted.push(function () {
  var i;
  line = Math.round(parseFloat(window.getComputedStyle(byId('answer'), null).fontSize) * 1.45);
  byId('answer').style.lineHeight = line + 'px';
  room = viewHeight - leaf.offsetTop - byId('turn').offsetHeight;
  leaf.style.height = room + 'px';
  room = Math.max(1, Math.floor(room / line)) * line;
  tableBefore = null;
  for (i = 0; i < settled.length; i += 1) { fitTables(settled[i]); }
  pages = [];
  paginate();
  show(pageOf(place));
});

settled.push(byId('answer').firstChild);
takeBlocks(settled[0]);
