/* Shows an answer in pages. All lines stand on a baseline grid (page.css), so the page breaks can be computed without
   measuring single lines. Settled text never moves: new text only adds pages. */
var leaf = byId('leaf'), clip = byId('clip'), flow = byId('flow'), text = byId('text');
var blocks = [];           // the question, and the blocks of the answer, as elements
var settled = 0;           // so many of them have settled; the others are the tail, and are replaced
var line = 1, room = 1;    // px: the height of a line and of a page
var pages = [];            // for each page, in px of the flow: its top, its end, and the top of the next page
var still = 0;             // px of the flow: everything above stays as it is
var shown = 0;             // the index of the page on the screen
var place = readPlace();   // the reading position, kept over a reload, a new text size or a rotation

// ---- Blocks

// Registers the blocks behind those that are known. They have settled, or are the tail.
function takeBlocks(isTail) {
  var last = blocks[blocks.length - 1], each;
  for (each = last.parentNode === text ? last.nextSibling : text.firstChild; each; each = each.nextSibling) {
    if (each.nodeType === 1) {
      blocks.push(each);
      takeTables(each, isTail);
    }
  }
  if (!isTail) { settled = blocks.length; }
}

// The links and forms at the end, as one element if they fit on a page.
function rest() {
  var found = [], after = byId('after'), each = after.firstChild;
  if (after.offsetHeight && after.offsetHeight <= room) { return [after]; }
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

// ---- Tables: rows that do not fit are stacked. All pieces of a table are laid out like the first: while more of it may
//      come, as its first rows were when they were drawn, and once more when it has ended.

var tables = [];           // each with its pieces: `kept` of them have settled, `laid` have their layout
var known = 0;             // the number of tables that have begun in a settled block
var taken = 0;             // the number of tables that have begun

function takeTables(block, isTail) {
  var found = block.nodeName === 'TABLE' ? [block] : block.getElementsByTagName('table'), i, table;
  if (!found.length) { endTable(); }
  for (i = 0; i < found.length; i += 1) {
    if (!taken || !/\bon\b/.test(found[i].className)) {
      endTable();
      taken += 1;
      tables[taken - 1] = tables[taken - 1] || { pieces: [], kept: 0, laid: 0, hasEnded: !PAGE.answer };
    }
    table = tables[taken - 1];
    table.pieces.push(found[i]);
    if (!isTail) { table.kept = table.pieces.length; known = taken; }
  }
}

function endTable() { if (taken) { tables[taken - 1].hasEnded = true; } }

// Takes away what has not settled, and remembers how tables in it were laid out.
function dropTail() {
  var i;
  while (text.lastChild && text.lastChild !== blocks[settled - 1]) { text.removeChild(text.lastChild); }
  blocks.length = settled;
  taken = known;
  for (i = Math.max(0, known - 1); i < tables.length; i += 1) {
    tables[i].pieces.length = tables[i].kept;
    tables[i].laid = Math.min(tables[i].laid, tables[i].kept);
  }
}

function layTables() {
  var i, table;
  tables.length = taken;
  for (i = taken - 1; i >= 0; i -= 1) {
    table = tables[i];
    if (!table.layout || table.hasEnded && !table.layout.isLast) {
      table.layout = measureTable(table.pieces[0], table.hasEnded);
      table.laid = 0;
    } else if (table.laid === table.pieces.length) {
      return;
    }
    for (; table.laid < table.pieces.length; table.laid += 1) { lay(table.pieces[table.laid], table.layout, table.laid); }
  }
}

function measureTable(table, isLast) {
  var cells = table.rows[0].cells, widths = [], isStacked, i;
  lay(table, { widths: [] }, 1);
  mark(table, 'measured', true);
  isStacked = table.offsetWidth > table.parentNode.clientWidth;
  mark(table, 'measured', false);
  mark(table, 'fitted', true);
  // A little more, because a width is rounded down.
  for (i = 0; i < cells.length && !isStacked; i += 1) { widths.push(100 * (cells[i].offsetWidth + 0.01) / table.offsetWidth + '%'); }
  return { isStacked: isStacked, widths: widths, isLast: isLast };
}

function lay(table, layout, index) {
  var cells = table.rows[0].cells, isFitted = !index && layout.isLast && !layout.isStacked, i;
  mark(table, 'stacked', layout.isStacked);
  mark(table, 'fitted', isFitted);
  for (i = 0; i < cells.length; i += 1) { cells[i].style.width = !isFitted && layout.widths[i] || ''; }
}

// ---- Pages

function paginate() {
  var last = rest(), height = flow.offsetHeight, open = tables[taken - 1], page;
  // Old engines set a line of several fonts a pixel too high: for that there is no page of its own.
  if (!last.length && height % line < 3) { height -= height % line; }
  do { pages.pop(); } while (pages.length && pages[pages.length - 1].end > still);   // these had text that may move
  do {
    page = cut(pages.length ? pages[pages.length - 1].next : 0, last, height);
    pages.push(page);
  } while (page.end < height);
  still = settled < blocks.length ? blocks[settled].offsetTop : text.offsetTop + text.offsetHeight;
  if (open && !open.hasEnded) { still = Math.min(still, open.pieces[0].offsetTop); }
}

// The page that begins at `top`, with as many lines as fit. But a heading stays with the text below it, and elements
// that are not text (the links and forms at the end) are not split.
function cut(top, last, height) {
  var y = top + room, next, index, block;
  if (y >= height) { return { top: top, end: height, next: height }; }
  index = lastAbove(last, y);
  if (index >= 0) {
    block = last[index];
    if (block.offsetTop > top && block.offsetTop + block.offsetHeight > y) { y = block.offsetTop; }
  } else {
    for (index = lastAbove(blocks, y); index > 1 && headsNext(blocks[index], top, y); index -= 1) {
      y = blocks[index].offsetTop;
    }
  }
  next = y;
  block = blocks[lastAbove(blocks, y + 1)];
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

// Shows what has been added to the text, on the page on which the reader is.
function grow() {
  if (!fittedWidth) { return; }                  // the first layout takes all of it
  layTables();
  paginate();
  show(pageOf(place));
}

// ---- The reading position: [block, line in it, number of its lines], kept in the URL. In the tail and
//      behind the text the number is 0.

function placeAt(y) {
  var index = lastAbove(blocks, y + 1), block = blocks[index], at, lines;
  if (y === 0 || !block) { return null; }
  at = Math.round((y - block.offsetTop) / line);
  lines = Math.round(block.offsetHeight / line);
  return [index, at, index < settled && at < lines ? lines : 0];
}

function readPlace() {
  var match = /^#(\d+)\.(\d+)\.(\d+)$/.exec(location.hash);
  return match && [Number(match[1]), Number(match[2]), Number(match[3])];
}

function pageOf(wanted) {
  var block, lines, y, index;
  if (!wanted) { return 0; }
  block = blocks[wanted[0]];
  if (!block) { return pages.length - 1; }       // it is not there yet
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
  for (i = 0; i < taken; i += 1) { tables[i].layout = null; }
  layTables();
  pages = [];
  paginate();
  show(pageOf(place));
});

blocks.push(byId('answer').firstChild);
takeBlocks();
