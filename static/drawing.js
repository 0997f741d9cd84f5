/* Draws what has come of an answer that is being written: at most every half second, only at the end of the text, and
   always once more after its end. */
var DRAW_EVERY = 500;      // ms: e-ink is slow, and each change flashes

var say = PAGE.say;
var upto = PAGE.upto;      // offset of the end of the last block; sent back as it came, never computed here
var tail = PAGE.tail, drawn = '';   // HTML: the tail, and that which has been drawn
var arrived = [];          // HTML of blocks that are not yet on the page
var waiting = byId('state').textContent;   // a sentence: what the answer waits for before it has text
var end = null;
var isLost = false, isTrying = false;   // the connection; and whether the page still tries to get it back
var isStopping = false;
var drawTimer = null, drawnAt = 0;

// A browser goes over all children of an element when one of them changes. So those of a long text stand in parts: the
// first blocks in the text itself, the others in elements behind them.
var PART = 50, part = text, begun = 1;   // and the index of the block with which the last part begins

function wantDraw() {
  if (drawTimer === null) { drawTimer = setTimeout(draw, Math.min(DRAW_EVERY, Math.max(0, drawnAt + DRAW_EVERY - now()))); }
}

function draw() {
  drawTimer = null;
  drawnAt = now();
  if (arrived.length || tail !== drawn) { drawText(); }
  if (end) { endTable(); }
  drawState();
  grow();
}

// The tail stands among the blocks, so that a first line and the space above it are the same when it settles.
function drawText() {
  dropTail();
  append(arrived.join(''), false);
  append(tail, true);
  arrived = [];
  drawn = tail;
}

function append(html, isTail) {
  var holder = document.createElement('div'), block;
  holder.innerHTML = html;
  while (holder.firstChild) {
    block = holder.firstChild;
    if (!isTail) { makeRoom(blocks.length, block); }
    part.appendChild(block);
    if (block.nodeType === 1) { takeBlock(block, isTail); }
  }
}

// Begins a new part with this block if the last one is full. Not with a paragraph that page.css sets by what stands
// before it; and the first child is an empty element, so that no block becomes one.
function makeRoom(index, block) {
  var before = blocks[index - 1];
  if (index - begun < PART || block.nodeName === 'P' && (before.nodeName !== 'P' || before.className)) { return; }
  part = text.appendChild(document.createElement('div'));
  part.appendChild(document.createElement('div'));
  begun = index;
}

// Takes away what has not settled.
function dropTail() {
  while (part.lastChild && part.lastChild !== blocks[settled - 1]) { part.removeChild(part.lastChild); }
  blocks.length = settled;
  dropTables();
}

// Shows how the answer ended, or what it waits for: where its text will begin, or behind it.
function drawState() {
  var state = byId('state'), words = '';
  if (end) {
    if (end.waits) { return location.reload(); }   // asked again before that, by the appliance
    setNote('ending', end.note);
    setText(byId('by'), end.by || '');
    if (end.why) {
      setText(byId('why'), end.why);
      byId('why').href = location.pathname + '/why';
    }
    document.body.className = 'reading ended ' + end.finish +
      (end.deleted ? ' deleted' : upto || end.finish === 'blocked' ? '' : ' empty') + (end.out ? ' out' : '');
    byId('rung').value = end.next || 0;
    markRead();
  } else if (isStopping) {
    words = say.stopping;
  } else if (isLost) {
    words = isTrying ? say.trying : say.lost;
  } else {
    words = waiting;
  }
  setText(state, words);
  mark(state.parentNode, 'lost', isLost && !end);
  mark(state.parentNode, 'behind', words && text.firstChild);
}

// The cookie lists the answers of this device whose end has not been shown yet.
function markRead() {
  var unread = /(?:^|; )unread=([\d.]*)/.exec(document.cookie);
  if (unread) {
    unread = ('.' + unread[1] + '.').replace('.' + PAGE.answer + '.', '.').slice(1, -1);
    keepCookie('unread', unread);
  }
}

(function () {
  var i;
  for (i = 1; i < blocks.length; i += 1) {
    makeRoom(i, blocks[i]);
    if (part !== text) { part.appendChild(blocks[i]); }
  }
}());
