// Reading a plot: the pointer, a finger or the arrow keys put a cursor on a step, and the values of all lines there are
// written beside it. The numbers stand in the picture's data attributes, written by plots.py from the record.

function readout(plot) {
  const svg = plot.querySelector("svg");
  const [start, end] = svg.dataset.x.split(":").map(Number); // "0:63", or each by itself
  const steps =
    end !== undefined ? Array.from({ length: end - start + 1 }, (_, i) => start + i) : svg.dataset.x.split(" ");
  const [left, right, top, bottom, first, last] = svg.dataset.frame.split(" ").map(Number);
  const lines = Array.from(svg.querySelectorAll("[data-y]"), (path) => ({
    label: path.dataset.label,
    colour: /c(\d+)/.exec(path.getAttribute("class"))[1],
    values: path.dataset.y.split(" "),
  }));
  const cursor = element("path", { class: "cursor", d: "" });
  const tip = element("div", { class: "tip", hidden: "", "aria-hidden": "true" });
  // the keyboard's way in: a slider over the steps that says the values; it lies under the picture's frame
  const keys = element("input", { type: "range", class: "keys", min: 0, max: steps.length - 1, step: 1 });
  keys.value = steps.length - 1;
  keys.setAttribute("aria-label", `Read the values: ${svg.querySelector("title").textContent}`);
  svg.append(cursor);
  plot.append(keys, tip);

  const across = (i) =>
    left + (last > first ? ((Number(steps[i]) - first) / (last - first)) * (right - left) : (right - left) / 2);
  const width = svg.viewBox.baseVal.width;

  function words(i) {
    return `${svg.dataset.across} ${steps[i]}: ${lines.map((line) => `${line.label} ${line.values[i]}`).join(", ")}`;
  }

  function show(i) {
    keys.value = i;
    keys.setAttribute("aria-valuetext", words(i));
    cursor.setAttribute("d", `M${across(i)} ${top}V${bottom}`);
    const rows = lines.map((line) =>
      element(
        "span",
        {},
        element("i", { style: `background:var(--c${line.colour})` }),
        `${line.label} `,
        element("b", {}, line.values[i]),
      ),
    );
    tip.replaceChildren(element("span", { class: "soft" }, `${svg.dataset.across} ${steps[i]}`), ...rows);
    // beside the cursor, on the side where there is more room
    const share = across(i) / width;
    tip.style.insetInline =
      share < 0.5 ? `calc(${100 * share}% + .6rem) auto` : `auto calc(${100 * (1 - share)}% + .6rem)`;
    tip.hidden = false;
  }

  function hide() {
    tip.hidden = true;
    cursor.setAttribute("d", "");
  }

  function follow(event) {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    let best = 0;
    for (let i = 1; i < steps.length; i++) if (Math.abs(across(i) - x) < Math.abs(across(best) - x)) best = i;
    show(best);
  }

  keys.setAttribute("aria-valuetext", words(steps.length - 1));
  keys.addEventListener("input", () => show(Number(keys.value)));
  keys.addEventListener("focus", () => show(Number(keys.value)));
  keys.addEventListener("blur", hide);
  keys.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerleave", () => document.activeElement !== keys && hide());
}
