// A recurrent layer step by step: a map of units and steps, and for one of them the values, the total and direct
// gradients inside the cell, and the terms of each state's gradient, one for each of its consumers.

const CELL = 16; // side of one entry of the map
const DECADES = 3; // powers of ten from the strongest shade to none, as in the page's other maps

function opened(steps) {
  const quantities = steps.quantities.map((q) => ({
    ...q,
    value: array(q.value),
    total: array(q.total),
    direct: array(q.direct),
    terms: q.terms.map((term) => ({ ...term, values: array(term.values) })),
  }));
  return { ...steps, present: array(steps.present), quantities };
}

function exploreSteps(figure, explore, packed) {
  const layer = opened(packed);
  const { at, quantities } = layer;
  let pointed = null; // [row, column] under the pointer

  // ---- controls

  const choice = element("select", {}, ...quantities.map((q) => element("option", {}, `∂${explore.of}/∂${q.name}`)));
  choice.addEventListener("change", () => {
    unit.input.max = mapped().shown.length - 1;
    unit.set(clamp(unit.get(), 0, mapped().shown.length - 1));
    refresh();
  });
  const mapped = () => quantities[choice.selectedIndex];
  const sample = slider("Sample", explore.samples.length, (s) => sampleWords(explore.samples, s), refresh);
  const step = slider("Step", at.length, (t) => `${at[t]} of ${layer.steps}`, mark, "short");
  const unit = slider("Unit", mapped().shown.length, (u) => `${mapped().shown[u]} of ${mapped().units}`, mark, "short");
  const controls = element(
    "div",
    { class: "controls" },
    element("label", { class: "slider" }, element("span", {}, "Map of"), choice),
    sample.label,
    step.label,
    unit.label,
  );

  // ---- the map

  const cells = element("g");
  const cursor = element("rect", { class: "frame", width: CELL, height: CELL });
  const map = element("svg", { class: "step-map", role: "img" }, cells, cursor);
  const told = element("p", { class: "told", "aria-live": "polite" });
  const shown = element("div", { class: "shown" });
  figure.append(controls, map, told, shown);

  function paint() {
    const q = mapped();
    const s = sample.get();
    const rows = q.shown.length;
    const values = Array.from({ length: rows }, (_, u) => at.map((_, t) => q.total(s, t, u)));
    const largest = Math.max(...values.flat().map(magnitude));
    map.setAttribute("viewBox", `-1 -1 ${CELL * at.length + 2} ${CELL * rows + 2}`);
    map.setAttribute(
      "aria-label",
      `Gradient of ${q.name}: ${rows} units by ${at.length} steps, largest magnitude ${number(largest, 3)}. ` +
        "The sliders choose the step and the unit.",
    );
    cells.replaceChildren();
    values.forEach((row, u) =>
      row.forEach((value, t) => {
        const place = { x: CELL * t, y: CELL * u, width: CELL - 1, height: CELL - 1 };
        cells.append(element("rect", { ...place, class: layer.present(s, t) ? "entry" : "entry absent" }));
        if (!layer.present(s, t)) return;
        const level = Number.isFinite(value)
          ? clamp(1 + Math.log10(Math.abs(value) / largest) / DECADES, 0, 1) || 0
          : 1;
        cells.append(element("rect", { ...place, class: sign(value), "fill-opacity": level.toFixed(2) }));
      }),
    );
  }

  // ---- the numbers at the cursor

  function mark() {
    const [u, t] = pointed ?? [unit.get(), step.get()];
    cursor.setAttribute("x", CELL * t - 0.5);
    cursor.setAttribute("y", CELL * u - 0.5);
    const s = sample.get();
    const q = mapped();
    const index = q.shown[u];
    if (!layer.present(s, t)) {
      told.textContent = `This sequence has no step ${at[t]}.`;
      shown.replaceChildren();
      return;
    }
    const gradient = `∂${explore.of}/∂${q.name}[${index}] = ${number(q.total(s, t, u))}`;
    told.textContent = `Step ${at[t]}, unit ${index}: ${gradient}`;
    shown.replaceChildren(
      values(s, t, index),
      ...quantities.filter((p) => p.terms.length).map((p) => terms(p, s, t, index)),
    );
  }

  function row(...cells) {
    const [head, ...rest] = cells;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, ...head),
      ...rest.map((value) => element("td", {}, value)),
    );
  }

  /** Every quantity of the cell: its value, its total and its direct gradient. */
  function values(s, t, index) {
    const heads = ["", "value", "total ∂", "direct ∂"];
    const rows = quantities.map((q) => {
      const u = q.shown.indexOf(index);
      const numbers = [q.value, q.total, q.direct].map((entry) => (u < 0 ? "–" : number(entry(s, t, u))));
      return row(
        [`${q.name}[${index}]`, ...(q.formula ? [element("span", { class: "soft factors" }, q.formula)] : [])],
        ...numbers,
      );
    });
    return element(
      "table",
      {},
      element("caption", {}, `Inside the cell at step ${at[t]}`),
      element(
        "thead",
        {},
        element("tr", {}, ...heads.map((h) => (h ? element("th", { scope: "col" }, h) : element("td")))),
      ),
      element("tbody", {}, ...rows),
    );
  }

  /** Who gives a state its gradient: all paths through one consumer together make one term. */
  function terms(q, s, t, index) {
    const u = q.shown.indexOf(index);
    if (u < 0) return element("p", { class: "soft small" }, `${q.name}[${index}] is not among the units shown.`);
    const numbers = q.terms.map((term) => term.values(s, t, u));
    const most = Math.max(...numbers.map(magnitude));
    const rows = q.terms.map((term, i) => row([term.text, bar(numbers[i], most)], number(numbers[i])));
    rows.push(row(["Sum: the total gradient"], number(q.total(s, t, u))));
    rows.at(-1).className = "sum";
    const caption = `Terms of ∂${explore.of}/∂${q.name}[${index}], each all paths through one consumer`;
    return element("table", { class: "terms" }, element("caption", {}, caption), element("tbody", {}, ...rows));
  }

  function bar(value, most) {
    const share = most ? (100 * magnitude(value)) / most : 0;
    return element("i", { class: `share ${sign(value)}`, style: `width:${share.toFixed(1)}%` });
  }

  function refresh() {
    paint();
    mark();
  }

  // ---- the pointer: over the map it looks, a click sets the sliders

  function place(event) {
    const box = map.getBoundingClientRect();
    const across = Math.floor(((event.clientX - box.left) / box.width) * at.length);
    const down = Math.floor(((event.clientY - box.top) / box.height) * mapped().shown.length);
    return [clamp(down, 0, mapped().shown.length - 1), clamp(across, 0, at.length - 1)];
  }

  map.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const there = place(event);
    if (String(there) === String(pointed)) return;
    pointed = there;
    mark();
  });
  map.addEventListener("pointerleave", () => {
    pointed = null;
    mark();
  });
  map.addEventListener("click", (event) => {
    const [u, t] = place(event);
    unit.set(u);
    step.set(t);
    mark();
  });

  // ---- where it starts: one step before the way back begins, where all consumers speak; the unit with most gradient

  const steps = at.map((_, t) => t).filter((t) => layer.present(0, t));
  const start = (layer.reverse ? (steps[1] ?? steps[0]) : (steps.at(-2) ?? steps.at(-1))) ?? 0;
  const sizes = mapped().shown.map((_, u) => magnitude(mapped().total(0, start, u)));
  sample.set(0);
  step.set(start);
  unit.set(sizes.indexOf(Math.max(...sizes)));
  refresh();
}
