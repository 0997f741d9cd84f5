/* The figure of a place: minus and plus change it at once, and a link leads to the chapters around it. Without script they
   are links to a page with that figure, and with the chapters around it. */
(function () {
  var field = byId('figure'), links = byId('steps').getElementsByTagName('a'), near = byId('near'), shown = field.value;
  var STEPS = [-5, -1, 1, 5], i;

  // A book without chapters has no `near`.
  function follow() {
    var figure = /^\s*(\d{1,2}|100)\s*%?\s*$/.exec(field.value), link;
    if (!near || field.value === shown) { return; }
    shown = field.value;
    near.innerHTML = '';
    mark(near, 'blank', !figure);
    if (!figure) { return; }
    link = document.createElement('a');
    link.href = links[0].href.replace(/at=\d+/, 'at=' + Number(figure[1]));
    setText(link, PAGE.near.replace('{figure}', Number(figure[1]) + '\u00a0%') + ' \u203a');
    near.appendChild(link);
  }

  function count(link, step) {
    link.onclick = function () {
      field.value = Math.max(0, Math.min(100, (parseInt(field.value, 10) || 0) + step));
      follow();
      return false;
    };
  }
  for (i = 0; i < links.length; i += 1) { count(links[i], STEPS[i]); }
  field.oninput = field.onkeyup = field.onchange = follow;
}());
