/* The number pad for the PIN. Without script each key sends the form, and the page returns with one more digit. */
var field = byId('pin'), keys = byId('pad').getElementsByTagName('button'), digits = 12;

function press(key) {
  key.onclick = function () {
    if (key.value === 'delete') {
      field.value = field.value.slice(0, -1);
    } else if (field.value.length < digits) {
      field.value += key.value;
    }
    return false;
  };
}

(function () {
  var i;
  for (i = 0; i < keys.length; i += 1) { press(keys[i]); }
}());
