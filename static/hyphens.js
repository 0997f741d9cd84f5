/* Tries what this browser can do with lines, by the height and width of a box that nobody sees. Each page tries it
   anew, because an update of a Kindle may bring another engine. */
(function () {
  var box = document.createElement('div'), breaks;
  box.style.cssText = 'position: absolute; visibility: hidden; width: 25px; font-size: 10px; line-height: 10px; ' +
    'word-wrap: normal; text-align: justify';
  document.body.appendChild(box);
  // WebKit 538 and Chromium break lines at soft hyphens, WebKit 534 does not. WebKit 533, from before the property of
  // that name, does, but draws only some of the hyphens. A cookie tells the appliance, which then sends text with them.
  box.appendChild(document.createTextNode('mmm\u00admmm'));
  breaks = box.offsetHeight > 15 && ('hyphens' in box.style || 'webkitHyphens' in box.style) ? 1 : 0;
  if (document.cookie.indexOf('hyphens=' + breaks) < 0) { keepCookie('hyphens', breaks); }
  // Chromium makes a line of Han characters fill its width; WebKit 538 stretches only the spaces in it.
  box.innerHTML = '\u4e00<b>\u4e00</b>\u4e00\u4e00\u4e00';
  mark(root, 'han', box.lastElementChild.offsetLeft > 12);
  document.body.removeChild(box);
}());
