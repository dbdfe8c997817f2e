// Charts wider than the window scroll by keyboard.
for (const box of document.querySelectorAll("figure .scroll")) {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
}
// Tables of cases sort by a column; without this script they stay in the order of the runs.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = [...table.tBodies[0].rows].map((row) => [row.cells[column].textContent, row]);
      keyed.sort(([a], [b]) => {
        if (a === "–" || b === "–") return (a === "–") - (b === "–"); // undefined values stay last
        const order = isNaN(a) || isNaN(b) ? compare(a, b) : a - b;
        return down ? -order : order;
      });
      table.tBodies[0].append(...keyed.map(([, row]) => row));
    });
  });
}
