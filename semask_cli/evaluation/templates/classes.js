// Point at an image, and its classes there are named.
const names = new Map([...document.querySelectorAll("#classes li")].map((row) => [+row.dataset.index, row.dataset.name]));
const decoded = new Map();

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
  const image = event.target.closest(".strip img, .stage img");
  if (!image) return;
  const figure = viewer.open ? shown : image.closest("figure");
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

// One class alone: its bar, its confusions, and the images that show it.
document.getElementById("filter").addEventListener("change", ({ target: { value } }) => {
  for (const row of document.querySelectorAll("#classes li")) row.hidden = value && row.dataset.index !== value;
  for (const figure of document.querySelectorAll(".images figure"))
    figure.hidden = value && !figure.dataset.present.split(" ").includes(value);
  for (const row of document.querySelectorAll("#confusions tbody tr"))
    row.hidden = value && !JSON.parse(row.dataset.names).includes(names.get(+value));
});
