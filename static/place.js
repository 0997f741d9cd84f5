/* The reading position: [block, line in it, number of its lines], kept in the URL over a reload, a new text size or a
   rotation. In the tail and behind the text the number of lines is 0. */
var place = readPlace();

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
  var block, lines, y;
  if (!wanted) { return 0; }
  block = blocks[wanted[0]];
  if (!block) { return pages.length - 1; }       // it is not there yet
  y = block.offsetTop + wanted[1] * line;
  if (wanted[2]) {                               // it had settled: go to the same fraction of the block
    lines = Math.round(block.offsetHeight / line);
    y = block.offsetTop + Math.min(Math.floor(wanted[1] / wanted[2] * lines), Math.max(0, lines - 1)) * line;
  }
  return pageAt(y);
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
