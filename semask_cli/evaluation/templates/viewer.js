// Open a view of a figure, and a slider leads from the figure's first view over the others to the last; the arrow keys
// go from one to the next, Escape closes.
const viewer = document.getElementById("viewer");
const stage = viewer.querySelector(".stage");
const slider = viewer.querySelector("input");
let shown; // the figure that is shown large

function slide(value) {
  slider.value = value;
  const layers = [...stage.children];
  layers.forEach((layer, index) => (layer.style.opacity = index ? Math.max(0, Math.min(1, slider.value - index + 1)) : 1));
  viewer.querySelector("span").textContent = layers[Math.round(slider.value)].alt;
}

function show(figure, view) {
  shown = figure;
  const images = [...figure.querySelectorAll("img")];
  stage.replaceChildren(...images.map((image) => image.cloneNode()));
  stage.style.setProperty("--ratio", images[0].naturalWidth / images[0].naturalHeight);
  slider.max = images.length - 1;
  const stops = images.map((image) => Object.assign(document.createElement("span"), { textContent: image.title }));
  viewer.querySelector(".stops").replaceChildren(...stops);
  if (!viewer.open) viewer.showModal();
  slide(view);
  slider.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".strip button");
  if (button) show(button.closest("figure"), [...button.parentElement.children].indexOf(button));
  else if (event.target === viewer || event.target.closest("#viewer figcaption button")) viewer.close();
});
slider.addEventListener("input", () => slide(slider.value));
viewer.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const view = step < 0 ? Math.ceil(slider.value) - 1 : Math.floor(slider.value) + 1;
  slide(Math.max(0, Math.min(stage.children.length - 1, view)));
});
