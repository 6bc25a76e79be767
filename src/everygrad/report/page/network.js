// The network: pointing at a unit, or reaching it with the arrow keys, lights its paths to the loss for one sample.

const REACH = 14; // how far from a unit's centre the pointer still means it, in the picture's units
const SIGNS = ["pos", "neg", "broken"];
const ABOUT =
  "Point at a unit, or walk from unit to unit with the arrow keys: its strongest paths to the loss light up. " +
  "A click or Enter pins it, Escape lets it go.";

/** Paths from unit u of a layer in sample s, best first: each with its stations, factors and product. */
function pathsOf(layer, s, u) {
  const { way, at, hops, pool, units, factors, products } = layer.paths;
  const found = [];
  for (let j = 0; j < products.shape[2] && !Number.isNaN(products(s, u, j)); j++) {
    const names = way.map((name, i) => (at[i] < 0 ? name : `${name}[${units(s, u, j, at[i])}]`));
    found.push({
      stations: [`${layer.name}[${layer.shown[u]}]`, ...names],
      factors: way.map((_, i) => pool(factors(s, u, j, i))),
      product: products(s, u, j),
      through: hops.map((hop, i) => ({ layer: hop.layer, unit: units(s, u, j, i) })),
    });
  }
  return found;
}

/** How many paths are not listed; there can be more than a number holds exactly. */
function others(count, listed) {
  const left = BigInt(count) - BigInt(listed);
  return left < 10n ** 21n ? left.toLocaleString("en") : `about 10^${String(left).length - 1}`;
}

function unpacked(layer) {
  const open = (record, names) => Object.fromEntries(names.map((name) => [name, array(record[name])]));
  const paths = layer.paths && {
    ...layer.paths,
    ...open(layer.paths, ["pool", "units", "factors", "products", "remainder"]),
  };
  return { ...layer, ...open(layer, ["a", "h", "slope", "grad_a", "grad_h"]), paths };
}

/** One network; `which` is its place in the page. Returns what shows a unit and a sample that the notebook names. */
function exploreNetwork(explorer, explore, which) {
  const svg = explorer.querySelector("svg");
  const panel = explorer.querySelector(".panel");
  const layers = explore.layers.map(unpacked);
  const columns = Array.from(svg.querySelectorAll(".column"), (column) => [...column.children]);
  const centres = columns.map((units) =>
    units.map((unit) => ["cx", "cy"].map((key) => Number(unit.getAttribute(key)))),
  );
  const means = columns.map((units) =>
    units.map((unit) => ({
      kind: SIGNS.find((s) => unit.classList.contains(s)),
      share: unit.style.getPropertyValue("--s"),
    })),
  );

  let pinned = null;
  let pointed = null;
  let focused = null;
  let current = [0, 0]; // the one unit that Tab reaches

  // ---- the panel's parts; only what they say changes

  const sample = slider(
    "Sample",
    explore.samples.length,
    (s) => sampleWords(explore.samples, s),
    () => {
      byNumber.checked = true;
      refresh();
      report();
    },
  );
  const byNumber = element("input", { type: "checkbox" });
  byNumber.addEventListener("change", refresh);
  const colour = element("label", { class: "choice" }, byNumber, " Colour the units by this sample");
  const told = element("p", { class: "told", "aria-live": "polite" });
  const shown = element("div", {
    class: "shown",
    tabindex: 0,
    role: "group",
    "aria-label": "The unit's paths and formulas",
  });
  const note = explore.note && element("p", { class: "soft small" }, explore.note);
  panel.append(sample.label, colour, told, shown, ...(note ? [note] : []));

  // ---- the picture as a list of units in groups: one Tab stop, the arrow keys move

  const title = svg.querySelector("title").id;
  svg.setAttribute("role", "listbox");
  svg.setAttribute("aria-labelledby", title);
  svg.setAttribute("aria-describedby", svg.querySelector("desc").id);
  svg.parentElement.removeAttribute("tabindex");
  const lit = element("g", { class: "lit", "aria-hidden": "true" });
  svg.querySelector(".column").before(lit);
  columns.forEach((units, c) => {
    units[0].parentElement.setAttribute("role", "group");
    units[0].parentElement.setAttribute("aria-label", layers[c].name);
    for (const unit of units) {
      unit.querySelector("title").remove(); // the panel says more than its tooltip
      unit.setAttribute("role", "option");
      unit.setAttribute("tabindex", "-1");
    }
  });

  function label([c, u]) {
    return `${layers[c].name}[${layers[c].shown[u]}]`;
  }

  function gradient(c, u) {
    return layers[c].grad_h(sample.get(), u);
  }

  /** The colours: the mean over all samples, as the page came, or the gradient of the chosen one. */
  function paint() {
    columns.forEach((units, c) => {
      const values = units.map((_, u) => gradient(c, u));
      const largest = Math.max(...values.map(magnitude));
      units.forEach((unit, u) => {
        const share = largest ? Math.sqrt(magnitude(values[u]) / largest) : 0;
        const own = { kind: sign(values[u]), share: `${Math.round(100 * share)}%` };
        const shown = byNumber.checked ? own : means[c][u];
        unit.classList.remove(...SIGNS);
        unit.classList.add(shown.kind);
        unit.style.setProperty("--s", shown.share);
        unit.setAttribute("aria-label", `${label([c, u])}, gradient ${number(values[u])}`);
      });
    });
  }

  function show() {
    const at = pinned ?? pointed ?? focused;
    lit.replaceChildren();
    svg.classList.toggle("exploring", at !== null);
    told.classList.toggle("soft", at === null);
    columns.forEach((units, c) =>
      units.forEach((unit, u) => {
        unit.classList.remove("on", "self");
        unit.setAttribute("aria-selected", pinned !== null && pinned[0] === c && pinned[1] === u);
        unit.setAttribute("tabindex", current[0] === c && current[1] === u ? "0" : "-1");
      }),
    );
    if (at === null) {
      told.textContent = ABOUT;
      shown.replaceChildren();
      return;
    }
    const [c, u] = at;
    const layer = layers[c];
    const found = layer.paths ? pathsOf(layer, sample.get(), u) : [];
    columns[c][u].classList.add("on", "self");
    light(at, found);
    write(at, found);
  }

  /** Lines along the paths, the best on top; a unit that is not drawn ends its line. */
  function light([c, u], found) {
    const widest = Math.max(...found.map((path) => magnitude(path.product)));
    for (const path of [...found].reverse()) {
      let from = centres[c][u];
      let d = "";
      for (const { layer, unit } of path.through) {
        const place = layer === null ? -1 : layers[layer].shown.indexOf(unit);
        const to = place < 0 ? null : centres[layer][place];
        if (to) columns[layer][place].classList.add("on");
        if (from && to) d += `M${from[0]} ${from[1]}L${to[0]} ${to[1]}`;
        from = to;
      }
      const width = 1.2 + 3.8 * (widest ? magnitude(path.product) / widest : 0);
      lit.append(element("path", { class: sign(path.product), d, "stroke-width": width.toFixed(2) }));
    }
  }

  function write(at, found) {
    const [c, u] = at;
    const layer = layers[c];
    const s = sample.get();
    // behind a sign of operation a negative number stands in brackets
    const filled = (before, key) => {
      if (key === "unit") return `${before}${layer.shown[u]}`;
      return before + (before ? operand : number)(layer[key](s, u));
    };
    const marks = /([·+] )?\{(unit|a|h|slope|grad_a|grad_h)\}/g;
    const formulas = layer.formulas.map((f) => f.replace(marks, (_, before = "", key) => filled(before, key)));
    const name = label(at);
    told.textContent = `${name}${pinned ? ", pinned" : ""}: ∂${explore.of}/∂${name} = ${number(gradient(c, u))}`;
    const sums = layer.paths ? [table(layer, found, layer.paths.remainder(s, u), gradient(c, u))] : [];
    shown.replaceChildren(...sums, element("div", { class: "formulas" }, ...formulas.map((f) => element("p", {}, f))));
  }

  /** The best paths with their factors, what the others give, and the sum, which is the gradient. */
  function table(layer, found, remainder, total) {
    const line = (what, value, kind) =>
      element("tr", { class: kind }, element("th", { scope: "row" }, ...what), element("td", {}, number(value)));
    const rows = found.map((path) => {
      const missing = path.through.filter((t) => t.layer !== null && !layers[t.layer].shown.includes(t.unit));
      const aside = missing.map((t) => `${layers[t.layer].name}[${t.unit}]`).join(", ");
      return line(
        [
          element("i", { class: `swatch ${sign(path.product)}` }),
          ` ${path.stations.join(" → ")}`,
          element("span", { class: "soft factors" }, path.factors.map((f) => operand(f, 3)).join(" · ")),
          ...(aside ? [element("span", { class: "soft factors" }, `${aside}: not among the units drawn`)] : []),
        ],
        path.product,
      );
    });
    const left = others(layer.paths.count, found.length);
    if (left !== "0") rows.push(line([left === "1" ? "1 other path" : `${left} other paths together`], remainder));
    rows.push(line(["Sum: the gradient"], total, "sum"));
    return element(
      "table",
      {},
      element("caption", {}, "Paths to the loss, the strongest first"),
      element("tbody", {}, ...rows),
    );
  }

  function refresh() {
    paint();
    show();
  }

  // ---- pointer and keys

  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    let best = null;
    let least = REACH;
    centres.forEach((units, c) =>
      units.forEach(([cx, cy], u) => {
        const away = Math.hypot(cx - x, cy - y);
        if (away < least) [best, least] = [[c, u], away];
      }),
    );
    return best;
  }

  function pin(at) {
    const same = pinned && at && pinned[0] === at[0] && pinned[1] === at[1];
    pinned = same ? null : at;
    if (at) current = at;
    pointed = null;
    show();
    report();
  }

  function report() {
    tell({ network: which, unit: pinned ? label(pinned) : "", sample: explore.samples[sample.get()].index });
  }

  function go(wanted) {
    const s = explore.samples.findIndex(({ index }) => index === wanted.sample);
    if (s >= 0) sample.set(s);
    pinned = null;
    layers.forEach((layer, c) =>
      layer.shown.forEach((_, u) => {
        if (label([c, u]) === wanted.unit) pinned = current = [c, u];
      }),
    );
    refresh();
  }

  svg.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return; // a finger that scrolls points at nothing
    const at = nearest(event);
    svg.style.cursor = at ? "pointer" : "";
    if (String(at) === String(pointed)) return;
    pointed = at;
    show();
  });
  svg.addEventListener("pointerleave", () => {
    pointed = null;
    show();
  });
  svg.addEventListener("click", (event) => {
    const at = nearest(event);
    if (!at) return;
    pin(at);
    columns[at[0]][at[1]].focus({ preventScroll: true });
  });
  columns.forEach((units, c) =>
    units.forEach((unit, u) => {
      unit.addEventListener("focus", () => {
        current = focused = [c, u];
        show();
      });
      unit.addEventListener("blur", () => {
        focused = null;
        show();
      });
    }),
  );
  svg.addEventListener("keydown", (event) => {
    const [c, u] = current;
    const last = columns[c].length - 1;
    const beside = (column) => {
      const away = centres[column].map(([, y]) => Math.abs(y - centres[c][u][1]));
      return [column, away.indexOf(Math.min(...away))];
    };
    const moves = {
      ArrowUp: () => [c, Math.max(u - 1, 0)],
      ArrowDown: () => [c, Math.min(u + 1, last)],
      ArrowLeft: () => (c > 0 ? beside(c - 1) : current),
      ArrowRight: () => (c < columns.length - 1 ? beside(c + 1) : current),
      Home: () => [c, 0],
      End: () => [c, last],
    };
    if (event.key in moves) {
      const [column, place] = moves[event.key]();
      columns[column][place].focus();
    } else if (event.key === "Enter" || event.key === " ") {
      pin(current);
    } else {
      return;
    }
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && pinned) pin(pinned);
  });

  sample.set(0);
  refresh();
  return go;
}
