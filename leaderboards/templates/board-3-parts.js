"use strict";

// What is folded away: datasets, clips, duels, slices; built when it is first unfolded.
(() => {
  const { data, make, address, narrow, draw, filled, sortable } = window.RealEar;
  const DRAWN = 15; // models in a slice's chart

  function scrolled(label, head, lines) {
    return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
      make("table", {},
        make("thead", {}, make("tr", {}, ...head)),
        make("tbody", {}, ...lines)));
  }

  function heading(text, options = {}) {
    const { domain, small, first } = options;
    return make("th", { scope: "col", "data-first": first },
      first ? make("button", { type: "button", class: "sort" }, ...key(domain), text) : make("span", {}, ...key(domain), text),
      small ? make("small", {}, small) : "");
  }

  function key(domain) {
    return domain ? [make("i", { class: `key ${domain}` })] : [];
  }

  function named(model) {
    return make("th", { scope: "row" }, model.name, model.mark ? make("span", { class: "tag" }, model.mark) : "");
  }

  function value(text, small, sort, href, faint) {
    const shown = href ? make("a", { class: "cell", href }, text) : make("b", {}, text);
    return make("td", { "data-sort": sort ?? undefined, class: faint ? "faint" : undefined }, shown, small ? make("small", {}, small) : "");
  }

  async function matrix(at) {
    const found = await data(`section-${at}`);
    const first = found.higher ? "descending" : "ascending";
    const head = [heading("Model", { first: "ascending" }),
      ...found.datasets.map((set) => heading(set.name, { domain: set.domain, small: set.domain, first }))];
    const lines = found.models.map((model, row) => make("tr", { "data-name": model.name }, named(model),
      ...found.matrix[row].map(([text, small, sort], column) => {
        const known = small !== "not scored";
        return value(text, small, sort, known && address(found.comparison, model.fingerprint, found.datasets[column].name));
      })));
    const answer = scrolled("Dataset by dataset", head, lines);
    sortable(answer.querySelector("table"));
    return [answer];
  }

  async function clips(at) {
    const found = await data(`section-${at}`);
    if (!found.clips.length) return [make("p", {}, "Every clip of every model was scored.")];
    const lines = found.clips.map(([model, set, scored, capped, undefinedCount, why, failed, reasons]) => {
      const { name, fingerprint } = found.models[model];
      const dataset = found.datasets[set];
      const href = address(found.comparison, fingerprint, dataset.name);
      return make("tr", {},
        make("th", { scope: "row" }, make("a", { class: "cell", href }, name), make("small", { class: "why" }, ...key(dataset.domain), dataset.name)),
        value(scored, capped), value(undefinedCount, why), value(failed, reasons));
    });
    return [scrolled("Clips that were not scored", ["Model and dataset", "Scored", "Undefined", "Failed"].map((text) => heading(text)), lines)];
  }

  function balance([wins, equal, losses]) {
    const total = Math.max(wins + equal + losses, 1);
    const width = (count) => (100 * count) / total;
    return make("svg", { class: "balance", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: "one", x: 0, width: width(wins), height: 6 }),
      make("rect", { class: "equal", x: width(wins), width: width(equal), height: 6 }),
      make("rect", { class: "other", x: width(wins + equal), width: width(losses), height: 6 }));
  }

  async function duels(at) {
    const found = await data(`section-${at}`);
    const one = (duel) => {
      const [wins, equal, losses] = duel.counts;
      const clip = ([dataset, name, difference]) => make("li", {},
        make("a", { class: "cell", href: address(found.comparison, duel.fingerprints[0], dataset) }, dataset), ` ${name}: ${difference}`);
      return make("article", { class: "duel" },
        make("h4", {}, `${duel.one} against ${duel.other}`),
        make("p", {}, `${duel.value} ${duel.span}`),
        make("p", { class: "verdict" }, `${duel.verdict}: better on ${wins}, worse on ${losses}, equal on ${equal} clips`),
        balance(duel.counts),
        duel.deciding.length ? make("ul", { class: "deciding" }, make("li", {}, "Clips that decide it:"), ...duel.deciding.map(clip)) : "");
    };
    const step = 20;
    const rest = found.duels.slice(step);
    const more = rest.length ? make("button", { type: "button", class: "tool" }, `Show ${rest.length} more`) : "";
    if (more) more.addEventListener("click", () => more.replaceWith(...rest.map(one)));
    return [make("p", { class: "note" }, "The difference is the first minus the second, over the clips that both were scored on. The bar shows the share of clips on which the first was better (dark), equal, or worse."),
      ...found.duels.slice(0, step).map(one), more];
  }

  async function slices(at, section) {
    const found = await data(`section-${at}`);
    const rule = make("select", { class: "slice" }, ...found.slices.map((name, n) => make("option", { value: n }, name)));
    const domain = make("select", { class: "domain" });
    const plot = make("div", { class: "plot scrolled", role: "img" });
    const table = make("div", {});
    const note = make("p", { class: "note", role: "status" });
    let cut;

    const show = async () => {
      const shown = cut.cells.filter((cell) => cell[0] === domain.value);
      const groups = cut.groups.filter((_, n) => shown.some((cell) => cell[2] === n));
      table.replaceChildren(sliced(found, cut, shown, groups, domain.value));
      const models = found.models.filter((_, n) => shown.some((cell) => cell[1] === n));
      const drawn = models.slice(0, DRAWN);
      note.textContent = [
        models.length > drawn.length ? `The chart has the first ${drawn.length} of ${models.length} models; the table has all.` : "",
        shown.some((cell) => cell[9]) ? "Grey and hollow: fewer than 20 clips, too few to build on." : "",
      ].join(" ");
      plot.className = `plot scrolled ${domain.value}-accent`;
      plot.setAttribute("aria-label", `Values by ${cut.name} on ${domain.value} data; the table below has the figures.`);
      await draw(plot, panels(found, cut, shown, groups, drawn, plot.clientWidth));
    };
    const choose = async () => {
      cut = await data(`slices-${at}-${rule.value}`);
      const before = domain.value || section.dataset.headline;
      domain.replaceChildren(...cut.domains.map((name) => make("option", { value: name, selected: name === before }, name)));
      await show();
    };
    rule.addEventListener("change", choose);
    domain.addEventListener("change", show);
    return [
      make("div", { class: "controls" }, make("label", {}, "Slice ", rule), make("label", {}, "on ", domain)),
      plot, note, table, choose];
  }

  function panels(found, cut, shown, groups, drawn, width) {
    const names = new Set(drawn.map((model) => model.name));
    const values = shown.map(([, model, group, number, low, high, text, span, scored, faint]) => ({
      model: found.models[model].name, group: cut.groups[group], value: number, low, high,
      told: `${text} ${span}`.trim(), clips: scored, faint: Boolean(faint),
    })).filter((point) => names.has(point.model) && point.value !== null);
    const spec = filled(found.charts.groups, values);
    const labels = Math.min(150, 8 + 7 * Math.max(...drawn.map((model) => model.name.length)));
    const columns = Math.max(1, Math.min(groups.length, narrow.matches ? 1 : 6, Math.floor((width - labels) / 130)));
    spec.columns = columns;
    spec.facet.sort = groups;
    spec.spec.width = Math.max(90, Math.floor((width - labels - 24 * columns) / columns));
    for (const layer of spec.spec.layer) layer.encoding.y.sort = drawn.map((model) => model.name);
    return spec;
  }

  function sliced(found, cut, shown, groups, domain) {
    const by = new Map(shown.map((cell) => [`${cell[1]} ${cell[2]}`, cell]));
    const first = found.higher ? "descending" : "ascending";
    const rows = found.models.map((model, n) => [model, n]).filter(([, n]) => shown.some((cell) => cell[1] === n));
    const head = [heading("Model", { first: "ascending" }), ...groups.map((group) => heading(group, { first }))];
    const lines = rows.map(([model, n]) => make("tr", { "data-name": model.name }, named(model),
      ...groups.map((group) => {
        const cell = by.get(`${n} ${cut.groups.indexOf(group)}`);
        if (!cell) return value("–", "");
        const [, , , number, , , text, span, scored, faint] = cell;
        return value(text, `${span} n ${scored}`.trim(), number, false, faint);
      })));
    const answer = scrolled(`Values by ${cut.name} on ${domain} data`, head, lines);
    sortable(answer.querySelector("table"));
    return answer;
  }

  const parts = { matrix, clips, duels, slices };

  // Build a folded part when it is first unfolded.
  function late(section, at) {
    for (const details of section.querySelectorAll("details.late")) {
      details.addEventListener("toggle", async () => {
        const place = details.querySelector(".part");
        if (!details.open || place.hasChildNodes()) return;
        place.append(make("p", { class: "note" }, "One moment."));
        try {
          const found = await parts[details.dataset.part](at, section);
          place.replaceChildren(...found.filter((child) => child instanceof Node));
          for (const then of found.filter((child) => typeof child === "function")) await then();
        } catch (error) {
          place.replaceChildren(make("p", { class: "note" }, error.message));
        }
      });
    }
  }

  Object.assign(window.RealEar, { late });
})();
