"use strict";
// Sort a table by a column; empty cells stay last, equal rows keep their order.
function key(row, column) {
  const cell = row.cells[column];
  return cell.dataset.sort || cell.textContent.trim();
}
function compare(a, b, numeric) {
  return numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
}
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = Array.from(table.tHead.rows[0].cells);
  headers.forEach((header, column) => {
    header.firstElementChild.addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") === "ascending";
      const body = table.tBodies[0];
      const rows = Array.from(body.rows, (row) => ({ row, value: key(row, column) }));
      const isEmpty = (value) => value === "" || value === "\u2013";
      const full = rows.filter((one) => !isEmpty(one.value));
      const numeric = full.every((one) => !Number.isNaN(Number(one.value)));
      full.sort((a, b) => (descending ? -1 : 1) * compare(a.value, b.value, numeric));
      for (const one of full) body.append(one.row);
      for (const one of rows) if (isEmpty(one.value)) body.append(one.row);
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    });
  });
}

// Show only the rows of a table that hold what was typed.
for (const box of document.querySelectorAll(".filter input")) {
  const table = document.getElementById(box.dataset.table);
  const count = box.parentElement.querySelector("output");
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = box.value.trim() ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
  });
}

// A picture that is wider than the screen is scrolled by the keyboard too; others are no stop on the way.
const wide = new ResizeObserver((entries) => {
  for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
});
for (const paper of document.querySelectorAll(".paper")) wide.observe(paper);

// Light or dark, whatever the system says.
const theme = document.querySelector(".theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.dispatchEvent(new Event("themechange"));
});

for (const button of document.querySelectorAll(".copy")) {
  const source = document.getElementById(button.dataset.source);
  button.hidden = false;
  button.addEventListener("click", () => {
    // Clipboards are closed to some pages; the selection always works.
    getSelection().selectAllChildren(source);
    const said = button.nextElementSibling;
    const failed = () => { said.textContent = "Selected; copy it with the keyboard."; };
    if (!navigator.clipboard) return failed();
    navigator.clipboard.writeText(source.textContent).then(() => { said.textContent = "Copied."; }, failed);
  });
}
