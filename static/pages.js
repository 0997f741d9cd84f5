/* Shows an answer in pages. All lines stand on a baseline grid (page.css), so the page breaks can be computed without
   measuring single lines. Settled text never moves: new text only adds pages. */
var leaf = byId('leaf'), clip = byId('clip'), flow = byId('flow'), text = byId('text');
var blocks = [];           // the question, and the blocks of the answer, as elements
var settled = 0;           // so many of them have settled; the others are the tail, and are replaced
var line = 1;              // px: the height of a line
var rooms = [1, 1];        // px: the height of the first page, below the bar, and of the others; whole lines
var heights = rooms;       // px: of the leaf, likewise; what is left of a line is at its end
var pages = [];            // for each page, in px of the flow: its top and its end, where it goes on, and where the next does
var REPEATED = 3;          // lines
var still = 0;             // px of the flow: everything above stays as it is
var shown = 0;             // the index of the page on the screen

// ---- Blocks

// Registers a block. It has settled, or is of the tail.
function takeBlock(block, isTail) {
  blocks.push(block);
  takeTables(block, isTail);
  if (!isTail) { settled = blocks.length; }
}

// The links and forms at the end, as one element if they fit on a page.
function rest() {
  var found = [], after = byId('after'), each = after.firstChild;
  if (after.offsetHeight && after.offsetHeight <= heights[1] - line) { return [after]; }
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

// ---- Pages

function paginate() {
  var last = rest(), height = flow.offsetHeight, open = tables[taken - 1];
  // Old engines set a line of several fonts a pixel too high: for that there is no page of its own.
  if (!last.length && height % line < 3) { height -= height % line; }
  if (!last.length && wholeAbove(blocks, height) < height) { height += line; }   // room for a line below a heading
  do { pages.pop(); } while (pages.length && pages[pages.length - 1].end > still);   // these had text that may move
  while (!pages.length || pages[pages.length - 1].end < height) {   // the page of a state that is gone is not cut
    pages.push(cut(pages.length ? pages[pages.length - 1].next : 0, last, height));
  }
  still = settled < blocks.length ? blocks[settled].offsetTop : text.offsetTop + text.offsetHeight;
  if (open && !open.hasEnded) { still = Math.min(still, open.pieces[0].offsetTop); }
}

// The page that goes on at `begins`, with as many lines as fit. But a heading stays with the text below it, and elements
// that are not text (the links and forms at the end) are not split.
function cut(begins, last, height) {
  var top = begins - repeated(begins, last), y = top + rooms[begins ? 1 : 0], next, index, block;
  // What stands at the end is not on the grid: it may use what is left of a line.
  if (top + heights[begins ? 1 : 0] >= height) { return { top: top, end: height, begins: begins, next: height }; }
  index = lastAbove(last, y);
  if (index >= 0) {
    block = last[index];
    if (block.offsetTop > top && block.offsetTop + block.offsetHeight > y) { y = block.offsetTop; }
  } else {
    y = endOfPage(begins, y);
  }
  next = y;
  block = blocks[lastAbove(blocks, y + 1)];
  if (block && block.offsetTop === y && isHeading(block)) { next += line; }   // at the top no blank line above it
  return { top: top, end: y, begins: begins, next: next };
}

// The height of the last lines of text, if nothing but links and forms would stand on the page from `begins` on: they stand
// there once more, because to move them would take away what is being read.
function repeated(begins, last) {
  var lines = last.length && begins && begins <= last[0].offsetTop && begins >= byId('after').offsetTop ? REPEATED : 0;
  while (lines && lines * line + last[0].offsetHeight > heights[1]) { lines -= 1; }
  return lines * line;
}

function show(index) {
  var page;
  shown = Math.max(0, Math.min(index, pages.length - 1));
  page = pages[shown];
  mark(root, 'later', shown > 0);                // page.css hides the bar
  leaf.style.height = heights[shown ? 1 : 0] + 'px';
  clip.style.height = page.end - page.top + 'px';
  clip.scrollTop = page.top;
  leaveHidden();
  setText(byId('count'), PAGE.say.page.replace('{page}', shown + 1).replace('{pages}', pages.length));
  mark(byId('back'), 'off', shown === 0);
  mark(byId('next'), 'off', shown === pages.length - 1);
  keepPlace();
}

function turn(step) {
  if (!pages[shown + step]) { return; }
  place = placeAt(pages[shown + step].begins);
  show(shown + step);
  nameInUrl();
}

// Shows what has been added to the text, on the page on which the reader is.
function grow() {
  if (!fittedWidth) { return; }                  // the first layout takes all of it
  layTables();
  paginate();
  show(pageOf(place));
}

function leafHeight(isLater) {
  mark(root, 'later', isLater);
  return viewHeight - clip.offsetTop - byId('turn').offsetHeight;
}

function wholeLines(height) { return Math.max(1, Math.floor(height / line)) * line; }

whenFitted.push(function () {
  line = Math.round(parseFloat(window.getComputedStyle(byId('answer'), null).fontSize) * 1.46);
  byId('answer').style.lineHeight = line + 'px';
  heights = [leafHeight(false), leafHeight(true)];
  rooms = [wholeLines(heights[0]), wholeLines(heights[1])];
  layTablesAnew();
  pages = [];
  paginate();
  show(pageOf(place));
});

takeBlock(byId('answer').firstChild);
(function () {
  var each = text.firstChild;
  for (; each; each = each.nextSibling) {
    if (each.nodeType === 1) { takeBlock(each); }
  }
}());
