// A mask painted over the picture that was dropped: with a pointer, or by the arrow keys.

const painters = new Map();

// The mask of a form as a file, and the box that takes it; null where nothing was painted.
export const painted = async (form) => {
  const painter = painters.get(form);
  if (!painter || painter.section.closest("[hidden]") || !painter.any()) return null;
  const blob = await new Promise(painter.write);
  const box = painter.section.closest(".question").querySelector(".drop");
  return { box, file: new File([blob], "painted.png") };
};

const begin = (section) => {
  const find = (name) => section.querySelector("[data-" + name + "]");
  const [stage, picture, canvas, cursor, brush, clear, count] =
    ["stage", "picture", "canvas", "cursor", "brush", "clear", "count"].map(find);
  const pen = canvas.getContext("2d");
  let [mask, image, at, last, total] = [new Uint8Array(0), null, [0, 0], null, 0];

  const erasing = () => section.querySelector("[data-tool]:checked").value === "erase";
  const radius = () => Number(brush.value) / 2;
  const say = () => {
    const share = mask.length ? (100 * total) / mask.length : 0;
    count.textContent = total + " pixels painted, " + share.toFixed(1) + " % of the picture";
  };
  const show = () => {  // the cursor, in parts of the picture so that it scales with it
    const [w, h] = [canvas.width, canvas.height];
    cursor.style.left = (100 * (at[0] + 0.5)) / w + "%";
    cursor.style.top = (100 * (at[1] + 0.5)) / h + "%";
    cursor.style.width = (200 * radius()) / w + "%";
  };
  // One round of the brush: whole pixels whose middle is within it, the nearest always.
  const stamp = (x, y) => {
    const [r, value] = [radius(), erasing() ? 0 : 1];
    const [left, top] = [Math.max(0, Math.floor(x - r)), Math.max(0, Math.floor(y - r))];
    const right = Math.min(canvas.width - 1, Math.ceil(x + r));
    const low = Math.min(canvas.height - 1, Math.ceil(y + r));
    for (let v = top; v <= low; v++) {
      for (let u = left; u <= right; u++) {
        const near = (u - x) ** 2 + (v - y) ** 2 <= r * r || (u === Math.round(x) && v === Math.round(y));
        const k = v * canvas.width + u;
        if (!near || mask[k] === value) continue;
        mask[k] = value;
        total += 2 * value - 1;
        image.data[4 * k + 3] = 255 * value;
      }
    }
    pen.putImageData(image, 0, 0, left, top, right - left + 1, low - top + 1);
  };
  const line = (from, to) => {
    const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let k = 0; k <= steps; k++) {
      stamp(...[0, 1].map((c) => from[c] + ((to[c] - from[c]) * k) / steps));
    }
    say();
  };
  const wipe = () => {
    image = pen.createImageData(canvas.width, canvas.height);
    for (let k = 0; k < image.data.length; k += 4) image.data.set([255, 64, 160], k);
    mask = new Uint8Array(canvas.width * canvas.height);
    total = 0;
    pen.putImageData(image, 0, 0);
    say();
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * canvas.width - 0.5,
      ((event.clientY - box.top) / box.height) * canvas.height - 0.5];
  };

  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
    at = last = place(event);
    line(last, last);
    show();
  });
  canvas.addEventListener("pointermove", (event) => {
    at = place(event);
    show();
    if (!last) return;
    line(last, at);
    last = at;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => { last = null; });
  }
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(radius()));
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (move) {
      const most = [canvas.width - 1, canvas.height - 1];
      at = at.map((c, k) => Math.min(most[k], Math.max(0, Math.round(c) + step * move[k])));
    } else if (event.key === " " || event.key === "Enter") line(at, at);
    else if (event.key === "[" || event.key === "]") {
      brush.value = Number(brush.value) + (event.key === "]" ? 1 : -1);
    } else return;
    event.preventDefault();
    show();
  });
  brush.addEventListener("input", show);
  clear.addEventListener("click", wipe);

  picture.addEventListener("load", () => {
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    stage.style.aspectRatio = canvas.width + " / " + canvas.height;
    const side = Math.max(canvas.width, canvas.height);
    brush.max = Math.max(8, Math.round(side / 4));
    brush.value = Math.max(2, Math.round(side / 14));
    at = [Math.floor(canvas.width / 2), Math.floor(canvas.height / 2)];
    wipe();
    show();
    section.hidden = false;
  });
  picture.addEventListener("error", () => { section.hidden = true; });

  const form = section.closest("form");
  const source = form.querySelector('input[type=hidden][name="' + section.dataset.paint + '"]');
  const load = () => {
    section.hidden = true;
    total = 0;
    if (source.value) picture.src = "/files/" + source.value + "/picture";
  };
  source.addEventListener("change", load);
  const box = section.closest(".question").querySelector(".drop");  // a file takes its place
  for (const name of ["change", "drop"]) box.addEventListener(name, () => image && wipe());
  const write = (done) => opaque(mask, canvas, done);
  painters.set(form, { section, write, any: () => total > 0 });
  load();
};

// White where it was painted, on black.
const opaque = (mask, size, done) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [size.width, size.height];
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(size.width, size.height);
  mask.forEach((on, k) => image.data.set([255 * on, 255 * on, 255 * on, 255], 4 * k));
  pen.putImageData(image, 0, 0);
  canvas.toBlob(done, "image/png");
};

for (const section of document.querySelectorAll("[data-paint]")) begin(section);
