// A slider through time. All frames of a walk are one picture, or one file of numbers, that is
// fetched once: moving the slider copies a part of it.

const shade = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const words = (time) =>
  "t = " + time.t.toFixed(3) + ", alpha = " + time.alpha.toFixed(3) + ", sigma = " +
  time.sigma.toFixed(3) + ", signal to noise " + time.decibels.toFixed(1) + " dB";

const picture = async (address) => {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
};

const drawRow = (canvas, image, [height, width], at) => {
  const row = Number(canvas.dataset.row);
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")
    .drawImage(image, at * width, row * height, width, height, 0, 0, width, height);
};

const SIDE = 480; // pixels of a plane

const drawPlane = (canvas, walk, at) => {
  const frame = walk.frames[at];
  canvas.width = canvas.height = SIDE;
  const pen = canvas.getContext("2d");
  const place = ([x, y]) => [(SIDE / 2) * (1 + x), (SIDE / 2) * (1 - y)];
  if (canvas.dataset.plane === "x") {
    // Arrows of the score times sigma, whose lengths are of the order of one.
    const gap = SIDE / (walk.arrows - 1);
    pen.strokeStyle = shade("--quiet");
    pen.lineWidth = 1.2;
    frame.score.forEach(([u, v], k) => {
      const x = Math.floor(k / walk.arrows) * gap;
      const y = SIDE - (k % walk.arrows) * gap;
      const length = Math.hypot(u, v);
      const size = (0.8 * gap * Math.tanh(length / 2)) / (length || 1);
      const [toX, toY] = [x + size * u, y - size * v];
      const turn = Math.atan2(toY - y, toX - x);
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(toX, toY);
      for (const side of [-2.6, 2.6]) {
        pen.moveTo(toX, toY);
        pen.lineTo(toX + 5 * Math.cos(turn + side), toY + 5 * Math.sin(turn + side));
      }
      pen.stroke();
    });
  }
  pen.fillStyle = shade("--accent");
  for (const point of frame[canvas.dataset.plane]) {
    const [x, y] = place(point);
    pen.beginPath();
    pen.arc(x, y, 3.5, 0, 2 * Math.PI);
    pen.fill();
  }
};

const play = async (player) => {
  const slider = player.querySelector("input[type=range]");
  const says = player.querySelector("[data-says]");
  const walk = await (await fetch(player.dataset.numbers)).json();
  const image = player.dataset.picture ? await picture(player.dataset.picture) : null;
  const show = () => {
    const at = Number(slider.value);
    for (const canvas of player.querySelectorAll("canvas")) {
      if (image) drawRow(canvas, image, walk.size, at);
      else drawPlane(canvas, walk, at);
    }
    says.textContent = words(walk.times[at]);
    slider.setAttribute("aria-valuetext", says.textContent);
  };
  slider.max = walk.times.length - 1;
  slider.value = Math.round(0.55 * slider.max);
  slider.addEventListener("input", show);
  show();
  player.dataset.ready = "";
};

const begun = new WeakSet();
const begin = (player) => {
  if (begun.has(player)) return;
  begun.add(player);
  play(player).catch((error) => {
    player.querySelector("[data-says]").textContent = "This walk cannot be shown: " + error.message;
  });
};

const choice = document.getElementById("walk");
const look = () => {
  for (const box of document.querySelectorAll("[data-walk]")) {
    box.hidden = box.dataset.walk !== choice.value;
    if (!box.hidden) begin(box.querySelector(".player"));
  }
};
if (choice) {
  choice.addEventListener("input", look);
  look();
} else for (const player of document.querySelectorAll(".player")) begin(player);
