// Point at a picture, and its classes there are named. Click, and it is shown large; the arrow keys then go through the
// views of the same picture in place.
const viewer = document.getElementById("viewer");
const names = new Map([...document.querySelectorAll("#classes li")].map((row) => [+row.dataset.index, row.dataset.name]));
const decoded = new Map();
let shown; // the button whose picture is shown large

function show(button) {
  shown = button;
  const picture = button.querySelector("img").cloneNode();
  picture.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
  viewer.querySelector("img")?.remove();
  viewer.querySelector("span").textContent = picture.alt;
  viewer.append(picture);
  if (!viewer.open) viewer.showModal();
}

// The pixels of a figure's classes: in red the label, in green the prediction.
async function decode(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height);
}

async function nameClasses(event) {
  const picture = event.target.closest(".strip img, #viewer img");
  if (!picture) return;
  const figure = (viewer.open ? shown : picture).closest("figure");
  const output = (viewer.open ? viewer : figure).querySelector("output");
  const address = figure.dataset.classes;
  if (!decoded.has(address)) decoded.set(address, decode(address));
  const { data, width, height } = await decoded.get(address);
  const box = picture.getBoundingClientRect();
  const column = Math.min(width - 1, Math.floor(((event.clientX - box.left) / box.width) * width));
  const row = Math.min(height - 1, Math.floor(((event.clientY - box.top) / box.height) * height));
  const [label, predicted] = data.subarray(4 * (row * width + column));
  const prediction = names.get(predicted) ?? "no class";
  if (label === predicted) output.textContent = prediction;
  else output.textContent = `${names.get(label) ?? "not counted"}, predicted ${prediction}`;
}

document.addEventListener("pointermove", nameClasses);
document.addEventListener("click", (event) => {
  const button = event.target.closest(".strip button");
  if (button) show(button);
  else viewer.close();
});
viewer.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[event.key];
  if (step && shown[step]) show(shown[step]);
});
