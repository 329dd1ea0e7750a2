// The confusion matrix: an entry is the share of a label's pixels. Errors are drawn stronger than they are, to be seen.
const matrix = document.getElementById("matrix");
const { classes: side, shares, orders } = JSON.parse(document.getElementById("matrix-data").textContent);
const share = new Uint16Array(Uint8Array.from(atob(shares), (c) => c.charCodeAt(0)).buffer);
const className = (index) => names.get(index) ?? "no class";
let order = orders.similarity;
let at; // [row, column] of the entry that is named

function drawMatrix() {
  const cell = Math.max(2, Math.floor(Math.min(matrix.parentElement.clientWidth, 620) / (side + 1)));
  const ratio = window.devicePixelRatio || 1;
  matrix.width = matrix.height = cell * side * ratio;
  matrix.width += cell * ratio; // a column for what is predicted as no class
  matrix.style.width = `${matrix.width / ratio}px`;
  const context = matrix.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const [right, wrong] = ["--accent", "--bad"].map((name) => style.getPropertyValue(name));
  context.fillStyle = style.getPropertyValue("--wash");
  context.fillRect(0, 0, matrix.width, matrix.height);
  const size = cell * ratio;
  const gap = cell > 5 ? ratio : 0;
  [...order.keys()].forEach((row) => {
    [...order, side].forEach((column, x) => {
      const level = share[order[row] * (side + 1) + column];
      if (!level) return;
      const value = Math.max(level / 65535, 1 / 255); // to be seen
      context.globalAlpha = order[row] === column ? value : Math.sqrt(value);
      context.fillStyle = order[row] === column ? right : wrong;
      context.fillRect(x * size, row * size, size - gap, size - gap);
    });
  });
  if (at) {
    context.globalAlpha = 1;
    context.strokeStyle = style.getPropertyValue("--ink");
    context.strokeRect(at[1] * size, at[0] * size, size - gap, size - gap);
  }
}

function nameEntry(row, column) {
  at = [Math.max(0, Math.min(side - 1, row)), Math.max(0, Math.min(side, column))];
  const [label, predicted] = [order[at[0]], at[1] < side ? order[at[1]] : side];
  const exact = (100 * share[label * (side + 1) + predicted]) / 65535;
  const percent = exact > 0 && exact < 0.05 ? "below 0.1" : exact.toFixed(1);
  document.getElementById("entry").textContent =
    label === predicted ? `${className(label)}: ${percent} % right` : `${className(label)}, predicted ${className(predicted)}: ${percent} %`;
  drawMatrix();
}

matrix.addEventListener("pointermove", (event) => {
  const box = matrix.getBoundingClientRect();
  const size = box.height / side;
  nameEntry(Math.floor((event.clientY - box.top) / size), Math.floor((event.clientX - box.left) / size));
});
matrix.addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const [row, column] = at ?? [0, -1];
  nameEntry(row + step[0], column + step[1]);
});
document.getElementById("matrix-order").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  order = orders[button.dataset.order];
  at = undefined;
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", other === button);
  drawMatrix();
});
addEventListener("resize", drawMatrix);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMatrix);
drawMatrix();
