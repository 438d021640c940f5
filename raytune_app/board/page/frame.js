// The frame of one figure: it knows plotly, and nothing else of the board.

const place = document.getElementById("place");

addEventListener("message", async (event) => {
  if (event.source !== parent || !event.data.plot) return;
  place.setAttribute("aria-label", event.data.said);
  await window.Plotly.react(place, ...event.data.plot);
  document.body.dataset.drawn = "yes";
});
parent.postMessage("ready", "*");
