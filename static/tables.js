/* Lays out the tables of an answer: rows that do not fit are stacked. All pieces of a table are laid out alike: while
   more of it may come, as its first rows were when they were drawn, and once more when it has ended. */
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
      tables[taken - 1] = tables[taken - 1] || { pieces: [], kept: 0, laid: 0, hasEnded: isEnded() };
    }
    table = tables[taken - 1];
    table.pieces.push(found[i]);
    if (!isTail) { table.kept = table.pieces.length; known = taken; }
  }
}

function endTable() { if (taken) { tables[taken - 1].hasEnded = true; } }

// Forgets what has not settled, and remembers how tables in it were laid out.
function dropTables() {
  var i;
  taken = known;
  for (i = Math.max(0, known - 1); i < tables.length; i += 1) {
    tables[i].pieces.length = tables[i].kept;
    tables[i].laid = Math.min(tables[i].laid, tables[i].kept);
  }
}

// Has all tables measured and laid out anew.
function layTablesAnew() {
  var i;
  for (i = 0; i < taken; i += 1) { tables[i].layout = null; }
  layTables();
}

function layTables() {
  var found = [], i, table;
  tables.length = taken;
  for (i = taken - 1; i >= 0; i -= 1) {
    table = tables[i];
    if (!table.layout || table.hasEnded && !table.layout.isLast) {
      table.layout = { isStacked: false, isLast: table.hasEnded, widths: [] };
      found.push(table);
    } else if (table.laid === table.pieces.length) {
      break;
    } else {
      for (; table.laid < table.pieces.length; table.laid += 1) { lay(table.pieces[table.laid], table, false); }
    }
  }
  if (found.length) { measureTables(found); }
}

// All is written before anything is read, so that the page is laid out a few times, however many tables there are.
function measureTables(found) {
  eachPiece(found, function (piece) { setColumns(piece, true, false, []); });
  eachPiece(found, function (piece, table) {
    var cells = piece.rows[0].cells, widths = table.layout.widths, i;
    for (i = 0; i < cells.length; i += 1) { widths[i] = Math.max(widths[i] || 0, cells[i].offsetWidth); }
    if (isTooWide(piece) || isTooHigh(piece)) { table.layout.isStacked = true; }
  });
  eachPiece(found, function (piece, table) { lay(piece, table, table.pieces.length > 1); });
  eachPiece(found, function (piece, table) {     // with columns that other pieces have made narrower
    if (table.pieces.length > 1 && isTooHigh(piece)) { table.layout.isStacked = true; }
  });
  eachPiece(found, function (piece, table) {
    lay(piece, table, false);
    table.laid = table.pieces.length;
  });
}

function eachPiece(found, action) {
  var i, j;
  for (i = 0; i < found.length; i += 1) {
    for (j = 0; j < found[i].pieces.length; j += 1) { action(found[i].pieces[j], found[i]); }
  }
}

function isTooWide(piece) {
  return piece.offsetWidth > Math.ceil(parseFloat(window.getComputedStyle(piece.parentNode, null).width));
}

// Whether a cell that is not the first of its row has more than two lines. First cells are lean: they have no height.
function isTooHigh(piece) {
  var i;
  for (i = 0; i < piece.rows.length; i += 1) {
    if (piece.rows[i].offsetHeight > 2.5 * line) { return true; }
  }
  return false;
}

function lay(piece, table, isLean) {
  var layout = table.layout, isFitted = layout.isStacked || layout.isLast && table.pieces.length === 1;
  mark(piece, 'stacked', layout.isStacked);
  setColumns(piece, isLean, !isFitted, isFitted ? [] : layout.widths);
}

// Without widths, the browser fits the columns to the words in them.
function setColumns(piece, isLean, isFixed, widths) {
  var cells = piece.rows[0].cells, all = 0, i;
  if (isLean) { mark(piece, 'stacked', false); }
  mark(piece, 'lean', isLean);
  mark(piece, 'fixed', isFixed);
  for (i = 0; i < widths.length; i += 1) { all += widths[i]; }
  for (i = 0; i < cells.length; i += 1) { cells[i].style.width = widths[i] ? 100 * widths[i] / all + '%' : ''; }
}
