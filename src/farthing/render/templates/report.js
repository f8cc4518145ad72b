"use strict";
(() => {
  const tip = document.getElementById("tip");
  const show = (mark) => {
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const at = mark.getBoundingClientRect(), own = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    const left = at.left + at.width / 2 - own.width / 2;
    const above = at.top - own.height - 8;
    tip.style.left = Math.max(6, Math.min(left, room - own.width - 6)) + "px";
    tip.style.top = (above > 4 ? above : Math.min(at.bottom + 8, innerHeight - own.height - 6)) + "px";
  };
  const hide = () => { tip.hidden = true; };
  for (const chart of document.querySelectorAll("svg.chart")) {
    const marks = [...chart.querySelectorAll(".mark")].sort((a, b) => {
      const p = a.getBoundingClientRect(), q = b.getBoundingClientRect();
      return chart.dataset.order === "rows" ? p.top - q.top : p.left - q.left || p.top - q.top;
    });
    marks.forEach((mark, i) => {
      mark.setAttribute("tabindex", i === 0 ? "0" : "-1");
      mark.addEventListener("pointerenter", () => show(mark));
      mark.addEventListener("pointerleave", hide);
      mark.addEventListener("focus", () => show(mark));
      mark.addEventListener("blur", hide);
      mark.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        const to = event.key === "Home" ? 0 : event.key === "End" ? marks.length - 1 : step ? i + step : -1;
        if (event.key === "Escape") hide();
        if (to < 0 || to >= marks.length) return;
        event.preventDefault();
        mark.setAttribute("tabindex", "-1");
        marks[to].setAttribute("tabindex", "0");
        marks[to].focus();
      });
    });
  }
  addEventListener("scroll", hide, { passive: true });
  const key = (row, column) => {
    const cell = row.cells[column];
    return { number: cell.dataset.sort === undefined ? NaN : Number(cell.dataset.sort), text: cell.textContent.trim() };
  };
  const compare = (a, b, sign) => {
    const x = Number.isNaN(a.number), y = Number.isNaN(b.number);
    if (x && y) return !a.text || !b.text ? Number(!a.text) - Number(!b.text) : sign * a.text.localeCompare(b.text, "en", { numeric: true });
    return x || y ? Number(x) - Number(y) : sign * (a.number - b.number);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => compare(key(a, column), key(b, column), sign));
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
