/* The page of a question that waits is opened anew when its moment has come, also if its chat is gone by then. A device
   that sleeps stops its timers, so the clock is looked at. If the network or the appliance is away, the page stays. */
var LOOK = 60000, openAt = now() + PAGE.wait * 1000;

function lookAgain() {
  var xhr = new XMLHttpRequest();
  if (now() < openAt) { setTimeout(lookAgain, Math.min(openAt - now(), LOOK)); return; }
  xhr.onreadystatechange = function () {
    if (xhr.readyState === 4) { if (xhr.status && xhr.status < 500) { location.reload(); } else { setTimeout(lookAgain, LOOK); } }
  };
  xhr.open('GET', '/answers/' + PAGE.answer + '?as=text&wait=0', true);   // WebKit 534 hides the status of a HEAD's 404
  xhr.send(null);
}
lookAgain();
