"use strict";
// A click on a heading sorts its table: up, down, and back to the order of the report.
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], order = [...body.rows];
  if (order.length < 2) continue;
  const text = (row, column) => {
    const cell = row.cells[column];
    return (cell.dataset.sort ?? cell.textContent).trim().replace(/^[—–]$/, "");
  };
  const number = (said) => Number(said.replaceAll("−", "-").replace(/[,\s%]/g, ""));
  const sorted = (column, way) => {
    const known = order.filter((row) => text(row, column) !== "");
    const numeric = known.every((row) => Number.isFinite(number(text(row, column))));
    const compare = numeric
      ? (a, b) => number(text(a, column)) - number(text(b, column))
      : (a, b) => text(a, column).localeCompare(text(b, column), undefined, { numeric: true });
    return [...known.sort((a, b) => way * compare(a, b)), ...order.filter((row) => !known.includes(row))];
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === null ? "ascending" : now === "ascending" ? "descending" : null;
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      body.append(...(next ? sorted(column, next === "ascending" ? 1 : -1) : order));
    });
  });
  table.classList.add("ready");
}
