/* The figure of a place: minus and plus change it at once. Without script they are links to a page with that figure. */
(function () {
  var field = byId('figure'), links = byId('steps').getElementsByTagName('a'), STEPS = [-5, -1, 1, 5], i;

  function count(link, step) {
    link.onclick = function () {
      field.value = Math.max(0, Math.min(100, (parseInt(field.value, 10) || 0) + step));
      return false;
    };
  }
  for (i = 0; i < links.length; i += 1) { count(links[i], STEPS[i]); }
}());
