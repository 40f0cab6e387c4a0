"use strict";

// Charts: Vega with its interpreter (no eval), in SVG, with a tooltip of our own.
(() => {
  const { load, data, make, narrow } = window.RealEar;
  const tip = make("div", { class: "tip", hidden: true });

  function tooltip(handler, event, item, value) {
    if (value === null || value === undefined || value === "") {
      tip.hidden = true;
      return;
    }
    const [first, ...rest] = Object.entries(value);
    const line = ([name, text]) => make("div", {}, make("span", {}, `${name} `), String(text));
    tip.replaceChildren(make("b", {}, String(first[1])), ...rest.map(line));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, window.innerWidth - width - 8))}px`;
    tip.style.top = `${event.clientY + height + 24 > window.innerHeight ? event.clientY - height - 12 : event.clientY + 16}px`;
  }

  // Draw a chart in its place; what was drawn there before is let go.
  async function draw(place, spec) {
    const library = document.querySelector("meta[name=vega]").content;
    await load(library);
    document.body.append(tip);
    if (place.chart) place.chart.finalize();
    const options = { ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip, mode: "vega-lite" };
    const inner = make("div", {});
    place.replaceChildren(inner);
    place.chart = await window.vegaEmbed(inner, spec, options);
    // What the chart says is said by its place; its parts would be read one by one.
    inner.firstElementChild.setAttribute("aria-hidden", "true");
    for (const name of ["role", "aria-label", "aria-roledescription"]) inner.removeAttribute(name);
  }

  // A copy of a template with its data and its width.
  function filled(template, values, width) {
    const spec = structuredClone(template);
    spec.data = { values };
    if (width) spec.width = width;
    return spec;
  }

  function sized(specs) {
    return narrow.matches ? specs.narrow : specs.wide;
  }

  const drawers = {
    async scatter(panel, at) {
      const { charts } = await data(`section-${at}`);
      const show = () => draw(panel.querySelector(".plot"), sized(charts.scatter));
      narrow.addEventListener("change", show);
      await show();
    },
    async timeline(panel, at) {
      const [{ charts }, values] = await Promise.all([data(`section-${at}`), data(`history-${at}`)]);
      const width = Math.min(panel.clientWidth, 900);
      panel.querySelector(".figures").append(earlier(values));
      await draw(panel.querySelector(".plot"), filled(charts.timeline, values, width));
    },
  };

  function earlier(values) {
    const times = [...new Set(values.map((point) => point.when))];
    const models = [...new Set(values.map((point) => point.model))];
    const told = new Map(values.map((point) => [`${point.when}\n${point.model}`, point.told]));
    const row = (when) => make("tr", {},
      make("th", { scope: "row" }, make("time", { datetime: when }, when.slice(0, 16).replace("T", " "))),
      ...models.map((model) => make("td", {}, told.get(`${when}\n${model}`) ?? "–")));
    return make("details", { class: "more" }, make("summary", {}, "The same in figures"),
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Earlier values" },
        make("table", {},
          make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Evaluated (UTC)"),
            ...models.map((model) => make("th", { scope: "col" }, model)))),
          make("tbody", {}, ...times.map(row)))));
  }

  // Draw a panel's chart when it is first opened.
  function opened(panel, at) {
    const kind = panel.dataset.chart;
    if (!kind || panel.dataset.drawn) return;
    panel.dataset.drawn = "yes";
    drawers[kind](panel, at).catch((error) => panel.querySelector(".plot").replaceChildren(make("p", { class: "note" }, error.message)));
  }

  // The button that draws every model where the first view has only some.
  function whole(section, at) {
    const button = section.querySelector("button.all");
    if (button === null) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const { charts } = await data(`section-${at}`);
      await draw(section.querySelector(".dumbbell > div"), sized(charts.dumbbell));
      button.parentElement.remove();
    });
  }

  Object.assign(window.RealEar, { draw, filled, opened, whole });
})();
