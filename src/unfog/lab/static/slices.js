// Volumes, slice by slice as pictures from the server, and in NiiVue where WebGL2 is there.
import { canShow, open } from "./viewer.js";

for (const section of document.querySelectorAll(".volumes")) {
  const find = (name) => section.querySelector("[data-" + name + "]");
  const [look, axis, at, picture, canvas, where, button, frame] =
    ["look", "axis", "at", "slice", "canvas", "where", "3d", "frame"].map(find);
  const base = "/jobs/" + section.dataset.job;
  let viewer = null;

  const table = () => look.selectedOptions[0]?.dataset.table ?? "";
  const show = () => {
    if (!look.value) return;
    const asked = new URLSearchParams({ axis: axis.value, at: at.value, table: table() });
    picture.src = base + "/slices/" + look.value + "?" + asked;
    picture.alt = look.selectedOptions[0].textContent + ", " +
      axis.selectedOptions[0].textContent + ", at " + Math.round(100 * at.value) + " %";
    where.textContent = picture.alt;
  };
  const load = async () => {
    await viewer.show(base + "/volumes/" + look.value, table());
    canvas.dataset.shown = look.value;
  };
  for (const one of [axis, at]) one.addEventListener("input", show);
  look.addEventListener("input", () => { if (viewer) load(); else show(); });
  show();

  if (!canShow()) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (viewer) {
      viewer = null;
      frame.hidden = true;
      picture.hidden = false;
      for (const one of [axis, at]) one.disabled = false;
      button.textContent = "Open in 3-D";
      show();
      return;
    }
    button.disabled = true;
    frame.hidden = false;
    try {
      viewer = await open(canvas, (text) => { where.textContent = text; });
      await load();
      picture.hidden = true;
      for (const one of [axis, at]) one.disabled = true;
      button.textContent = "Back to slices";
    } catch (error) {
      viewer = null;
      frame.hidden = true;
      where.textContent = "The viewer could not be opened here: " + error.message;
    }
    button.disabled = false;
  });
}
