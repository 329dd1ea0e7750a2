// Point at an image, and its classes there are named. Click, and it is shown large; the arrow keys then go through the
// views of the same image in place.
const viewer = document.getElementById("viewer");
const names = new Map([...document.querySelectorAll("#classes li")].map((row) => [+row.dataset.index, row.dataset.name]));
const decoded = new Map();
let shown; // the button whose image is shown large

function show(button) {
  shown = button;
  const image = button.querySelector("img").cloneNode();
  image.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  viewer.querySelector("img")?.remove();
  viewer.querySelector("span").textContent = image.alt;
  viewer.append(image);
  if (!viewer.open) viewer.showModal();
}

// The pixels of a figure's classes: in red the label, in green the prediction.
async function decode(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}

async function nameClasses(event) {
  const image = event.target.closest(".strip img, #viewer img");
  if (!image) return;
  const figure = (viewer.open ? shown : image).closest("figure");
  const output = (viewer.open ? viewer : figure).querySelector("output");
  const address = figure.dataset.classes;
  if (!decoded.has(address)) decoded.set(address, decode(address));
  const { data, width, height } = await decoded.get(address);
  const box = image.getBoundingClientRect();
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
