/* The keyboard of an answer: keys that turn. */
onKey = function (event) {                       // for Kindles with keys, and for computers
  if (/^(INPUT|TEXTAREA)$/.test(event.target.nodeName)) { return; }
  if (event.keyCode === 33 || event.keyCode === 37) { turn(-1); }
  if (event.keyCode === 34 || event.keyCode === 39) { turn(1); }
};
