for (const wipe of document.querySelectorAll(".wipe")) {
  const slider = wipe.querySelector("input");
  const move = () => wipe.style.setProperty("--at", slider.value + "%");
  slider.addEventListener("input", move);
  wipe.classList.add("live");
  move();
}
