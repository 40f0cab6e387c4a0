"use strict";

// The panel of a cell: how its clips spread, which to look at, what made it. #cell/… opens it.
(() => {
  const { data, make, address, draw, filled } = window.RealEar;
  const LABELS = { equal: "", substitute: "said otherwise", delete: "left out", insert: "put in" };

  function words(row) {
    const found = make("p", { class: "words" });
    for (const [kind, said, heard] of row) {
      if (kind === "equal") found.append(heard);
      if (kind === "delete") found.append(make("del", {}, said));
      if (kind === "insert") found.append(make("ins", {}, heard));
      if (kind === "substitute") found.append(make("span", { class: "sub" }, make("del", {}, said), " → ", make("ins", {}, heard)));
      found.append(" ");
    }
    return found;
  }

  function legend() {
    return make("p", { class: "legend words" }, make("del", {}, "left out"), " ", make("ins", {}, "put in"), " ",
      make("span", { class: "sub" }, make("del", {}, "said"), " → ", make("ins", {}, "heard")));
  }

  function sound([label, file, picture, note]) {
    const player = make("audio", { controls: true, preload: "metadata", src: file, "aria-label": label });
    const seen = picture ? make("img", { src: picture, width: 640, height: 160, loading: "lazy", alt: `Waveform and spectrogram: ${label}` }) : "";
    return make("figure", {}, make("figcaption", {}, label, note ? make("span", { class: "soft" }, note) : ""), seen, player);
  }

  function clip(pick) {
    const sounds = pick.sounds ?? [];
    const row = pick.words ?? [];
    return make("article", { class: "clip" },
      make("h4", {}, sentence(pick.kind), make("b", {}, pick.score), make("span", { class: "soft" }, pick.key)),
      row.length ? words(row) : "",
      pick.told ? make("p", { class: "told" }, pick.told) : "",
      sounds.length ? make("div", { class: "sounds" }, ...sounds.map(sound)) : "");
  }

  function sentence(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
  }

  function counts(list) {
    return make("dl", { class: "counts" }, ...list.flatMap(([name, count, why]) => [
      make("dt", {}, name), make("dd", {}, count, why ? make("small", {}, why) : "")]));
  }

  // The model's other datasets, one step away.
  function sets(found, model, chosen) {
    const row = found.matrix[found.models.indexOf(model)];
    const known = found.datasets.map((set, n) => [set, row[n]]).filter(([, cell]) => cell[1] !== "not scored");
    if (known.length < 2) return "";
    return make("ul", { class: "sets", "aria-label": "Datasets" }, ...known.map(([set, cell]) => make("li", {},
      make("a", { href: address(found.comparison, model.fingerprint, set.name), "aria-current": set === chosen ? "true" : undefined },
        make("i", { class: `key ${set.domain}` }), set.name, make("span", {}, cell[0])))));
  }

  function spread(cell, found, domain) {
    const place = make("div", { class: "plot", role: "img" });
    const holder = make("div", { class: `spread ${domain}-accent` }, place);
    const decimals = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
    const values = cell.bins.map(([low, high, count], n) => ({
      low, high, count, range: `${decimals.format(low)} to ${decimals.format(high)}`, median: n === 0 ? cell.median : null,
    }));
    place.setAttribute("aria-label", `Histogram of the clips' values; the median is ${decimals.format(cell.median)}.`);
    const [below, above] = cell.beyond;
    const beyond = [below ? `${below} below` : "", above ? `${above} above` : ""].filter(Boolean).join(", ");
    holder.append(make("p", { class: "note" }, `The dashed line is the median.${beyond ? ` Beyond the picture: ${beyond}.` : ""}`));
    return [holder, () => draw(place, filled(found.charts.spread, values, Math.min(place.clientWidth, 560)))];
  }

  function body(cell, found, model, set) {
    const [picture, drawn] = cell.bins && cell.bins.length ? spread(cell, found, set.domain) : [make("p", { class: "note" }, "There are no clips' values with this board."), () => {}];
    const picks = cell.picks ?? [];
    const read = picks.some((pick) => (pick.words ?? []).length);
    const shown = [
      sets(found, model, set),
      make("div", { class: "sum" },
        make("div", {}, make("p", { class: "large" }, cell.value), make("p", { class: "soft" }, [cell.span, cell.note].filter(Boolean).join(" · ")), counts(cell.counts)),
        picture),
      picks.length ? make("h3", {}, "Worst and median clips") : "",
      cell.silence ? make("p", { class: "note silence" }, cell.silence) : "",
      ...picks.map(clip),
      read ? legend() : "",
      make("h3", {}, "Provenance"),
      cell.commands.length ? make("pre", { tabindex: 0 }, cell.commands.join("\n")) : "",
      make("dl", { class: "pairs" }, ...cell.facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, make("code", {}, text))])),
    ];
    return [shown.filter(Boolean), drawn];
  }

  // Section, model and dataset that an address names; nothing where it names no cell of this page.
  async function named(hash) {
    const [kind, ...parts] = hash.slice(1).split("/");
    if (kind !== "cell" || parts.length !== 3) return undefined;
    const [comparison, fingerprint, dataset] = parts.map(decodeURIComponent);
    const section = Array.from(document.querySelectorAll("section.comparison")).find((one) => one.dataset.comparison === comparison);
    if (!section) return undefined;
    const found = await data(`section-${section.dataset.at}`);
    const model = found.models.find((one) => one.fingerprint === fingerprint);
    const column = found.datasets.findIndex((one) => one.name === dataset);
    if (!model || column < 0) return undefined;
    const cells = await data(`cells-${section.dataset.at}-${column}`);
    const cell = cells.find((one) => one.fingerprint === fingerprint);
    return cell && { section, found, model, set: found.datasets[column], cell };
  }

  async function show(dialog) {
    const asked = window.location.hash;
    let place;
    try {
      place = await named(asked);
    } catch (error) {
      place = undefined;
    }
    if (window.location.hash !== asked) return;
    if (!place) {
      if (dialog.open) dialog.close();
      return;
    }
    const { section, found, model, set, cell } = place;
    document.getElementById("cell-where").textContent = `${section.querySelector("h2").textContent} · ${set.name} · ${set.domain}`;
    document.getElementById("cell-title").textContent = model.name;
    const [shown, drawn] = body(cell, found, model, set);
    dialog.querySelector(".body").replaceChildren(...shown);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    await drawn();
  }

  function cells() {
    const dialog = document.getElementById("cell");
    const forget = () => window.history.replaceState(null, "", window.location.pathname + window.location.search);
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // the backdrop
    });
    dialog.addEventListener("close", () => {
      for (const player of dialog.querySelectorAll("audio")) player.pause();
      if (window.location.hash.startsWith("#cell/")) forget();
    });
    window.addEventListener("hashchange", () => show(dialog));
    show(dialog);
  }

  Object.assign(window.RealEar, { cells });
})();
