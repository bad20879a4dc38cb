// Loss curves that go on while a run is trained, resuming, and comparisons.

const EVERY = 1500; // milliseconds between looks

for (const section of document.querySelectorAll("[data-live]")) {
  const chart = section.querySelector("[data-chart]");
  const says = section.querySelector("[data-says]");
  const look = async () => {
    try {
      const answer = await fetch(section.dataset.live);
      if (!answer.ok) return; // not there yet: a run begins with its first step
      const now = await answer.json();
      if (now.chart) chart.innerHTML = now.chart; // SVG of our own server, its texts escaped
      const loss = now.loss === null ? "" : ", loss " + Number(now.loss).toPrecision(4);
      says.textContent = "step " + now.step + loss;
    } catch {
      says.textContent = "The lab does not answer; the run goes on.";
    }
  };
  look();
  if (document.querySelector(".panel.running, .panel.waiting")) setInterval(look, EVERY);
}

for (const form of document.querySelectorAll("[data-resume]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = JSON.stringify(Object.fromEntries(new FormData(form)));
    const answer = await (await fetch(form.dataset.resume, { method: "POST", body })).json();
    if (answer.address) location.assign(answer.address);
    else {
      const place = document.getElementById("wrong-form");
      place.textContent = answer.sentence;
      place.hidden = false;
    }
  });
}

for (const form of document.querySelectorAll("[data-compare]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = new URLSearchParams(new FormData(form));
    const wrong = document.getElementById("wrong-compare");
    const box = document.querySelector("[data-comparison]");
    wrong.textContent = "A comparison is of two runs or more; choose them.";
    wrong.hidden = chosen.size >= 2;
    box.hidden = chosen.size < 2;
    if (chosen.size >= 2) box.querySelector("iframe").src = "/runs/compare?" + chosen;
  });
}
