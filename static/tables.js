/* Lays out the tables of an answer: rows that do not fit are stacked. All pieces of a table are laid out like the first:
   while more of it may come, as its first rows were when they were drawn, and once more when it has ended. */
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
