/* Where a page may end: neither below a heading, nor inside a row of a table or below its head. */

function isHeading(element) { return /\bheading\b/.test(element.className); }

// The end of a page that goes on at `begins` and has room up to `y`. What is higher than a page is cut there.
function endOfPage(begins, y) {
  var end = y, whole = wholeAbove(blocks, y);
  for (; whole > begins && whole < end; whole = wholeAbove(blocks, end)) { end = whole; }
  return whole < end ? y : end;
}

// `y`, or the top of what has to move to the next page if this one ends at `y`.
function wholeAbove(elements, y) {
  var element = elements[lastAbove(elements, y)];
  if (!element || element.offsetTop + element.offsetHeight < y - line / 2) { return y; }   // something else stands below it
  if (isHeading(element)) { return element.offsetTop; }
  if (element.nodeName === 'TABLE') { return rowAbove(element, y); }
  return /^(UL|OL|LI|DL|DD|BLOCKQUOTE)$/.test(element.nodeName) ? wholeAbove(element.children, y) : y;
}

// The same for a table. Its first row stays with the head.
function rowAbove(table, y) {
  var at = y - table.offsetTop, index = lastAbove(table.rows, at), row = table.rows[index], first = table.tHead ? 1 : 0;
  if (index < first && row.offsetHeight) { return table.offsetTop; }
  if (!row || row.offsetHeight > rooms[1] || row.offsetTop + row.offsetHeight <= at + 2) { return y; }
  return table.offsetTop + (index > first ? row.offsetTop : 0);
}
