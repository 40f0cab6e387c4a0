// A board's page. Everything that is shown goes through textContent: no string becomes HTML.
"use strict";

window.RealEar = (() => {
  const received = new Map();
  const loading = new Map();

  // Vega empties its place with `innerHTML = ""`; no other string may become HTML, and no script
  // may come from anywhere but the page's own folders.
  if (window.trustedTypes) {
    window.trustedTypes.createPolicy("default", {
      createHTML: (text) => (text === "" ? "" : null),
      createScriptURL: (address) => (/^(data|vendor)\/[\w.-]+\.js$/.test(address) ? address : null),
    });
  }

  // Called by the files in data/: a name and a string of JSON.
  function receive(name, text) {
    received.set(name, JSON.parse(text));
  }

  function load(address) {
    if (!loading.has(address)) {
      loading.set(address, new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = address;
        script.onload = done;
        script.onerror = () => failed(new Error(`${address} is not beside this page`));
        document.head.append(script);
      }));
    }
    return loading.get(address);
  }

  async function data(name) {
    await load(`data/${name}.js`);
    return received.get(name);
  }

  // An element: its attributes, then its children, strings as text.
  function make(tag, attributes = {}, ...children) {
    const drawing = ["svg", "rect", "title"].includes(tag);
    const found = drawing ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) found.setAttribute(name, value === true ? "" : String(value));
    }
    found.append(...children.filter((child) => child !== undefined && child !== ""));
    return found;
  }

  // The place of a cell in the page's address, as `tables.link` writes it.
  function address(comparison, fingerprint, dataset) {
    return `#cell/${[comparison, fingerprint, dataset].map(encodeURIComponent).join("/")}`;
  }

  const narrow = window.matchMedia("(max-width: 46rem)");

  // ------------------------------------------------------------------------------------ scheme

  function schemes() {
    const button = document.getElementById("scheme");
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const root = document.documentElement;
    const show = () => {
      const now = root.dataset.scheme ? root.dataset.scheme === "dark" : dark.matches;
      button.setAttribute("aria-pressed", String(now));
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.scheme = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
      show();
    });
    dark.addEventListener("change", show);
    show();
  }

  // ------------------------------------------------------------------------------------ tables

  // Sort a table's lines by a column; what has no value comes last either way.
  function sort(table, column, order) {
    const body = table.tBodies[0];
    const sign = order === "ascending" ? 1 : -1;
    const lines = Array.from(body.rows, (row) => {
      const cell = row.cells[column];
      const number = cell.dataset.sort;
      return { row, value: cell.tagName === "TH" ? row.dataset.name : number === undefined ? null : Number(number) };
    });
    lines.sort((one, other) => {
      if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
      return sign * (typeof one.value === "string" ? one.value.localeCompare(other.value) : one.value - other.value);
    });
    body.append(...lines.map((line) => line.row));
    Array.from(table.tHead.rows[0].cells).forEach((head, at) => {
      if (at === column) head.setAttribute("aria-sort", order);
      else head.removeAttribute("aria-sort");
    });
  }

  function sortable(table) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = head.querySelector(".sort");
      if (button === null) return;
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const other = now === "ascending" ? "descending" : "ascending";
        sort(table, column, now ? other : head.dataset.first);
      });
    });
  }

  function filtered(section, table) {
    const box = section.querySelector(".filter");
    if (box === null) return;
    const found = section.querySelector(".found");
    const rows = Array.from(table.tBodies[0].rows);
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLocaleLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.dataset.name.toLocaleLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      found.textContent = wanted ? `${shown} of ${rows.length} models` : "";
    });
  }

  // -------------------------------------------------------------------------------------- tabs

  function tabs(section, opened) {
    const list = section.querySelector("[role=tablist]");
    if (list === null) return;
    const all = Array.from(list.querySelectorAll("[role=tab]"));
    const choose = (tab) => {
      for (const other of all) {
        const chosen = other === tab;
        other.setAttribute("aria-selected", String(chosen));
        other.tabIndex = chosen ? 0 : -1;
        document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
      }
      opened(document.getElementById(tab.getAttribute("aria-controls")));
    };
    list.hidden = false;
    list.addEventListener("click", (event) => {
      const tab = event.target.closest("[role=tab]");
      if (tab) choose(tab);
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const at = all.indexOf(document.activeElement);
      const next = all[(at + step + all.length) % all.length];
      next.focus();
      choose(next);
    });
  }

  return { receive, load, data, make, address, narrow, schemes, sort, sortable, filtered, tabs };
})();
