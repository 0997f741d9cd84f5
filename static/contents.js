/* The panel that the count of pages opens: ways to the first page, to the last, and to the headings of the answer. */
function goTo(index) {
  turn(index - shown);
  closePanels();
}

// A heading's words, and the number of its page.
function addHeading(list, heading) {
  var link = document.createElement('a'), number = document.createElement('span'), index = pageAt(heading.offsetTop);
  link.href = '#';
  setText(number, index + 1);
  link.appendChild(number);
  link.appendChild(document.createTextNode(heading.textContent));
  link.onclick = function () { goTo(index); return false; };
  list.appendChild(link);
}

// As many headings as fit, those around the page that is shown.
function listHeadings() {
  var list = byId('headings'), found = [], near = 0, most, i;
  list.innerHTML = '';
  for (i = 1; i < blocks.length; i += 1) { if (isHeading(blocks[i])) { found.push(blocks[i]); } }
  if (!found.length) { return; }
  addHeading(list, found[0]);
  most = Math.floor((heights[1] - byId('pages').offsetHeight) / list.offsetHeight) + 1;
  list.innerHTML = '';
  while (near < found.length && found[near].offsetTop < pages[shown].end) { near += 1; }
  near = Math.max(0, Math.min(near - Math.ceil(most / 2), found.length - most));
  for (i = near; i < Math.min(near + most, found.length); i += 1) { addHeading(list, found[i]); }
}

bindPanel('pages', 'count', listHeadings);
onTap('shut', closePanels);
onTap('first', function () { goTo(0); });
onTap('last', function () { goTo(pages.length - 1); });
