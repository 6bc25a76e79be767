// What all parts of the page's script use. html.py joins the files of this folder to one module, in the order that it
// names. The script computes no gradient: it looks up numbers of the report's record, writes and draws them. Text goes
// into the page as text nodes only, so that no name of a model or a file can become markup.

const SHAPES = new Set(["svg", "g", "path", "circle", "rect", "text"]);

/** An element with attributes (null and false are left out) and children; a string becomes text. */
function element(name, attributes = {}, ...children) {
  const made = SHAPES.has(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// ---- numbers -------------------------------------------------------------------------------------------------------

/** Significant digits as Python's "%.4g" writes them; NaN and Infinity by name. */
function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  if (power >= -4 && power < digits) return String(Number(value.toFixed(digits - 1 - power)));
  return `${Number(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** A factor or a term as one writes it behind others: in brackets if it is negative. */
function operand(value, digits = 4) {
  const shown = number(value, digits);
  return shown.startsWith("-") ? `(${shown})` : shown;
}

/** What a width or a shade is made of: |value|, 0 if it is not finite. */
function magnitude(value) {
  return Number.isFinite(value) ? Math.abs(value) : 0;
}

/** The class that colours a number by its sign. */
function sign(value) {
  if (!Number.isFinite(value)) return "broken";
  return value < 0 ? "neg" : "pos";
}

function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}

// ---- the record in the page ----------------------------------------------------------------------------------------

const KINDS = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

/** The numbers of one base64 text; the key that it stands under is their kind. */
function decoded(packed) {
  const kind = Object.keys(KINDS).find((key) => key in packed);
  return new KINDS[kind](Uint8Array.from(atob(packed[kind]), (c) => c.charCodeAt(0)).buffer);
}

/** An array of the record as a function of its indices: see report/island.py. `shape` is its shape, null stays null. */
function array(packed) {
  if (packed === null) return null;
  const { shape } = packed;
  let data = packed.n ? packed.n.map(Number) : decoded(packed);
  if (packed.only) {
    const some = data;
    data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    decoded(packed.only).forEach((place, i) => (data[place] = some[i]));
  }
  const entry = (...place) => data[place.reduce((index, i, axis) => index * shape[axis] + i, 0)];
  entry.shape = shape;
  return entry;
}

/** Sample 17 in words, with what is known of it. */
function sampleWords(samples, s) {
  const { index, label, predicted, loss } = samples[s];
  const known = [];
  if (label) known.push(`target ${label}`);
  if (predicted) known.push(`predicted ${predicted}`);
  if (loss !== null) known.push(`loss ${number(Number(loss), 3)}`);
  return `${index}${known.length ? `: ${known.join(", ")}` : ""}`;
}

// ---- controls ------------------------------------------------------------------------------------------------------

/** A slider with its name and what it stands at in words, `say(position)`; `moved` is called when it was moved. */
function slider(name, count, say, moved, look = "") {
  const input = element("input", { type: "range", min: 0, max: count - 1, step: 1, disabled: count < 2 && "" });
  const said = element("output");
  function told() {
    said.textContent = say(Number(input.value));
    input.setAttribute("aria-valuetext", said.textContent);
  }
  input.addEventListener("input", () => {
    told();
    moved();
  });
  const label = element("label", { class: `slider ${look}` }, element("span", {}, name), input, said);
  return {
    label,
    input,
    get: () => Number(input.value),
    set: (position) => {
      input.value = position;
      told();
    },
  };
}

/** To the notebook that shows the page as a widget: what is looked at. */
function tell(state) {
  if (window.parent !== window) window.parent.postMessage({ everygrad: state }, "*");
}
