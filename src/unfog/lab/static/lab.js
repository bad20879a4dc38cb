// Forms, files that are dropped, and the state of a job. A page's own script does the rest.
import { painted } from "./paint.js";

const post = async (address, value) => {
  let answer;
  try {
    answer = await fetch(address, { method: "POST", body: JSON.stringify(value ?? {}) });
  } catch {
    return { sentence: "The lab does not answer; is it still running in its terminal?", field: "" };
  }
  try {
    return await answer.json();
  } catch {
    return { sentence: await answer.text().catch(() => "The lab refused."), field: "" };
  }
};

const say = (field, sentence) => {
  const place = document.getElementById("wrong-" + (field || "form"));
  if (!place) return;
  place.textContent = sentence;
  place.hidden = !sentence;
};

// Only the ending of a file's name is sent: names hold names of patients.
const ending = (name) => {
  const found = /\.((?:nii|mif)\.gz|[a-z0-9]+)$/i.exec(name);
  return found ? found[1].toLowerCase() : "";
};

// Send a file; whether it was taken.
const take = (box, file, kind = "") => new Promise((done) => {
  const question = box.closest(".question");
  const kept = box.querySelector("input[type=hidden]");
  const said = box.querySelector(".said");
  const form = box.closest("form");
  const button = form.querySelector("button[type=submit]");
  kept.value = "";
  say(question.dataset.field, "");
  const request = new XMLHttpRequest();
  request.open("POST", "/files?ending=" + encodeURIComponent(ending(file.name)) + kind);
  request.upload.addEventListener("progress", (event) => {
    said.textContent = Math.round((100 * event.loaded) / event.total) + " % of the file is here.";
  });
  request.addEventListener("loadend", () => {
    button.disabled = false;
    let answer = null;
    try { answer = JSON.parse(request.responseText); } catch { /* said below */ }
    if (request.status === 200 && answer) {
      kept.value = answer.id;
      said.textContent = file.name + ": " + answer.facts;
    } else {
      said.textContent = "";
      const lost = "The file did not arrive; is the lab still running in its terminal?";
      say(question.dataset.field, answer?.sentence ?? (request.responseText || lost));
    }
    kept.dispatchEvent(new Event("change"));
    done(Boolean(kept.value));
  });
  button.disabled = true;
  request.send(file);
});

for (const box of document.querySelectorAll(".drop")) {
  const input = box.querySelector("input[type=file]");
  input.addEventListener("change", () => input.files.length && take(box, input.files[0]));
  for (const name of ["dragenter", "dragover"]) {
    box.addEventListener(name, (event) => { event.preventDefault(); box.classList.add("over"); });
  }
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files.length) take(box, event.dataTransfer.files[0]);
  });
}

// Questions that only some answers ask for.
for (const form of document.querySelectorAll("form.asked[data-page]")) {
  const ask = () => {
    for (const question of form.querySelectorAll("[data-only]")) {
      const other = form.elements[question.dataset.only];
      question.hidden = !question.dataset.values.split(" ").includes(other.value);
    }
  };
  form.addEventListener("change", ask);
  ask();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const place of form.querySelectorAll(".wrong")) place.hidden = true;
    const mask = await painted(form);
    if (mask && !(await take(mask.box, mask.file, "&kind=mask"))) return;
    const fields = Object.fromEntries(new FormData(form));
    await begin({ page: form.dataset.page, fields }, form.querySelector("button[type=submit]"));
  });
}

const begin = async (asked, button) => {
  button.disabled = true;
  const answer = await post("/jobs", asked);
  button.disabled = false;
  if (answer.address) location.assign(answer.address);
  else {
    say(answer.field, answer.sentence);
    document.getElementById(answer.field)?.focus();
  }
};

for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () =>
    begin({ page: button.dataset.page, example: button.dataset.example }, button));
}

for (const button of document.querySelectorAll("[data-post]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await post(button.dataset.post);
    if (answer.sentence) { say("", answer.sentence); button.disabled = false; }
    else if (button.dataset.then) location.assign(button.dataset.then);
  });
}

// A job at work: its state comes by itself, and the page is drawn anew when it has ended.
for (const panel of document.querySelectorAll(".panel")) {
  if (!["waiting", "running"].includes(panel.dataset.state)) continue;
  const source = new EventSource("/jobs/" + panel.dataset.job + "/events");
  const state = panel.querySelector(".state");
  const bar = panel.querySelector("progress");
  source.addEventListener("message", (event) => {
    const now = JSON.parse(event.data);
    if (!["waiting", "running"].includes(now.state)) { source.close(); location.reload(); return; }
    if (now.state === "waiting") {
      state.textContent = now.before ? now.before + " before it in the queue" : "begins";
    } else if (now.total) {
      const note = now.note ? ": " + now.note : "";
      state.textContent = now.title + ", step " + now.done + " of " + now.total + note;
      bar.value = now.done / now.total;
    } else state.textContent = now.title || "at work";
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) {
      state.textContent = "The lab does not answer; the job goes on, and so does this page.";
    }
  });
}

for (const box of document.querySelectorAll("[data-overlay]")) {
  const overlay = box.closest("figure").querySelector(".overlay");
  box.addEventListener("change", () => { overlay.hidden = !box.checked; });
}

// A report is fetched when it is opened.
for (const details of document.querySelectorAll(".report")) {
  details.addEventListener("toggle", () => {
    const frame = details.querySelector("iframe");
    if (details.open && !frame.src) frame.src = frame.dataset.src;
  });
}
