for (const order of document.querySelectorAll(".order[data-list]")) {
  const list = document.getElementById(order.dataset.list);
  const compare = {
    index: (a, b) => a.index - b.index,
    name: (a, b) => a.name.localeCompare(b.name),
    // What has no figure stands last either way.
    worst: (a, b) => (a.value || 101) - (b.value || 101) || a.index - b.index,
    best: (a, b) => (b.value || -1) - (a.value || -1) || a.index - b.index,
    frequent: (a, b) => b.pixels - a.pixels || a.index - b.index,
  };
  order.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const rows = [...list.children];
    rows.sort((a, b) => compare[button.dataset.by](a.dataset, b.dataset));
    list.append(...rows);
    for (const other of order.children) other.setAttribute("aria-pressed", other === button);
  });
}
// On paper nothing can be unfolded.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
