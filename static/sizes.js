/* The text sizes that a first visit offers: one tap, and the page has it. */
(function () {
  var all = byId('sizes') ? byId('sizes').getElementsByTagName('button') : [], i;

  function offer(button) {
    button.onclick = function () { setLook(button.value, look().isBold); return false; };
  }
  for (i = 0; i < all.length; i += 1) { offer(all[i]); }
}());
