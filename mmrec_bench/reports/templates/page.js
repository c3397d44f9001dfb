"use strict";
// Sorting: the greatest number, or the first word, on top; again turns it round. Absent values stay at the end.
for (const table of document.querySelectorAll("table")) {
  if (!table.querySelector("thead button")) continue;
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const sort = (place) => {
    const header = headers[place];
    const numeric = header.classList.contains("number");
    const first = numeric ? "descending" : "ascending";
    const second = numeric ? "ascending" : "descending";
    const order = header.getAttribute("aria-sort") === first ? second : first;
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => {
      const cell = row.cells[place];
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      return numeric || cell.textContent === "-" ? null : cell.textContent;
    };
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (x === null || y === null) return (x === null) - (y === null);
      if (typeof x === "number" && typeof y === "number") return sign * (x - y);
      return sign * String(x).localeCompare(String(y), "en", { numeric: true });
    };
    body.append(...[...body.rows].sort(compare));
    for (const other of headers) other.setAttribute("aria-sort", other === header ? order : "none");
  };
  headers.forEach((header, place) => header.querySelector("button").addEventListener("click", () => sort(place)));
}
// On a narrow screen the list of contents is folded away.
if (window.matchMedia("(max-width: 68rem)").matches) document.querySelector("nav details")?.removeAttribute("open");
