"use strict";

// Every part of the page is made to work, in its order.
(() => {
  const { schemes, sort, sortable, filtered, tabs, opened, whole, late, cells } = window.RealEar;
  schemes();
  for (const section of document.querySelectorAll("section.comparison")) {
    const at = Number(section.dataset.at);
    const table = section.querySelector("table.main");
    sortable(table);
    filtered(section, table);
    tabs(section, (panel) => opened(panel, at));
    whole(section, at);
    late(section, at);
    section.querySelector(".toolbar").hidden = false;
    section.querySelector(".hint").hidden = false;
    const order = section.querySelector(".order");
    order.addEventListener("change", () => {
      const column = Number(order.value);
      sort(table, column, table.tHead.rows[0].cells[column].dataset.first);
    });
  }
  cells();
})();
