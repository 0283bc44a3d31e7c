"use strict";
// Sorts and filters the table of cases; everything on the page can be read without it.
// An address may say how: report.html#sort=seconds&order=descending&text=liver&status=failed&modality=CT
(() => {
  const table = document.querySelector("table.cases");
  const form = document.querySelector("form.controls");
  const rows = [...table.tBodies];
  const buttons = [...table.querySelectorAll("button[data-sort]")];
  const texts = new Map(rows.map((row) => [row, row.rows[0].textContent.toLowerCase()]));

  function sort(key, order) {
    const sign = order === "descending" ? -1 : 1;
    const value = (row) => (key === "case" ? row.dataset.case : parseFloat(row.dataset[key]));
    const missing = (x) => x === undefined || Number.isNaN(x);
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      return sign * (key === "case" ? x.localeCompare(y, undefined, { numeric: true }) : x - y);
    };
    table.append(...rows.sort(compare));
    for (const button of buttons) {
      const th = button.closest("th");
      if (button.dataset.sort === key) th.setAttribute("aria-sort", order);
      else th.removeAttribute("aria-sort");
    }
  }

  function filter() {
    const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { status, modality } = form;
    let shown = 0;
    for (const row of rows) {
      const is = status.value === "warned" ? "warned" in row.dataset : !status.value || row.dataset.status === status.value;
      const fits = is && (!modality.value || row.dataset.modality === modality.value);
      row.hidden = !(fits && words.every((word) => texts.get(row).includes(word)));
      shown += !row.hidden;
    }
    form.querySelector("output").value = `${shown} of ${rows.length} cases`;
  }

  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of ["text", "status", "modality"]) if (asked.has(name)) form[name].value = asked.get(name);
    const button = buttons.find((b) => b.dataset.sort === asked.get("sort"));
    if (button) sort(button.dataset.sort, asked.get("order") || button.dataset.first);
    filter();
    const opened = document.querySelector(".enlarged:target .close");
    if (opened) opened.focus();
  }

  for (const button of buttons) {
    button.addEventListener("click", () => {
      const now = button.closest("th").getAttribute("aria-sort");
      const first = button.dataset.first;
      sort(button.dataset.sort, now !== first ? first : first === "ascending" ? "descending" : "ascending");
    });
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("[data-open]").addEventListener("click", (event) => {
    const details = [...table.querySelectorAll("tbody:not([hidden]) details")];
    const open = details.some((one) => !one.open);
    for (const one of details) one.open = open;
    event.target.textContent = open ? "Close all" : "Open all";
  });
  document.addEventListener("keydown", (event) => {
    const figure = document.querySelector(".enlarged:target");
    if (!figure) return;
    const at = rows.filter((row) => !row.hidden && document.getElementById(`p${row.id.slice(1)}`));
    const here = at.findIndex((row) => `p${row.id.slice(1)}` === figure.id);
    if (event.key === "Escape") {
      location.hash = `#c${figure.id.slice(1)}`;
      document.querySelector(`a[href="#${figure.id}"]`).focus();
    } else if ((event.key === "ArrowRight" || event.key === "ArrowLeft") && event.target.type !== "range") {
      const next = at[here + (event.key === "ArrowRight" ? 1 : -1)];
      if (next) location.hash = `#p${next.id.slice(1)}`;
    } else if (event.key === "Tab") {  // what lies behind the picture is not gone to
      const places = [...figure.querySelectorAll("a, button, input")].filter((one) => one.checkVisibility());
      const at = places.indexOf(document.activeElement) + (event.shiftKey ? -1 : 1);
      places[(at + places.length) % places.length].focus();
      event.preventDefault();
    }
  });
  window.addEventListener("hashchange", follow);
  form.hidden = false;
  follow();
})();
