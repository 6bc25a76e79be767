// The page as a whole: what every table, link and sheet of paper gets, and the start of all parts.

const root = document.documentElement;

/** What happened, to be read aloud. */
function announce(text) {
  document.getElementById("status").textContent = text;
}

// ---- light and dark ------------------------------------------------------------------------------------------------

/** A button from the system's choice to the other theme, to the one the system has, and back. Nothing is stored. */
function themes(button) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const order = ["system", ...(dark ? ["light", "dark"] : ["dark", "light"])];
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme ?? "system") + 1) % order.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    button.textContent = `Theme: ${next}`;
  });
}

// ---- tables as CSV -------------------------------------------------------------------------------------------------

/** A cell as RFC 4180 has it. A spreadsheet would run a text that begins like a formula: it gets an apostrophe. */
function field(text) {
  let plain = text.trim();
  if (plain === "–") return "";
  const digits = plain.replace(/(\d),(?=\d{3}(\D|$))/g, "$1");
  if (digits !== "" && !Number.isNaN(Number(digits))) return digits;
  if (/^[=+\-@]/.test(plain)) plain = `'${plain}`;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

function csv(table) {
  const lines = Array.from(table.rows, (row) => Array.from(row.cells, (cell) => field(cell.textContent)).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

async function copy(button) {
  const table = button.closest(".tabled").querySelector("table");
  const text = csv(table);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // no clipboard here (an old browser, a frame that may not): the text itself, ready to be copied
    offer(button, text);
    return;
  }
  announce(`Copied ${table.tBodies[0].rows.length} rows as CSV.`);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy as CSV"), 2000);
}

function offer(button, text) {
  const area = element("textarea", { class: "csv-text", readonly: "", rows: 6, "aria-label": "The table as CSV" });
  area.value = text;
  button.after(area);
  area.select();
  announce("The table is selected as CSV: copy it with Ctrl+C, or ⌘C on a Mac.");
  area.addEventListener("blur", () => area.remove());
  area.addEventListener("keydown", (event) => event.key === "Escape" && button.focus());
}

// ---- links and paper -----------------------------------------------------------------------------------------------

/** What a link leads to may be folded away. In a notebook's frame a link within the page would leave the page. */
function follow(event) {
  const link = event.target.closest('a[href^="#"]');
  const target = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (location.protocol === "about:") {
    event.preventDefault();
    target.scrollIntoView();
    target.tabIndex = -1;
    target.focus({ preventScroll: true });
  }
}

function paper() {
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });
}

// ---- in a notebook -------------------------------------------------------------------------------------------------

/** The page in a frame, and the widget's traits `network`, `unit` and `sample`: see adapters/notebook.py. */
function render({ model, el }) {
  const frame = element("iframe", { sandbox: "allow-scripts", allow: "clipboard-write", title: "everygrad report" });
  frame.style.cssText = "width:100%;height:44rem;border:0;resize:vertical";
  frame.srcdoc = model.get("page");
  el.append(frame);
  function heard(event) {
    if (event.source !== frame.contentWindow || !event.data.everygrad) return;
    const { network, unit, sample } = event.data.everygrad;
    model.set({ network, unit, sample });
    model.save_changes();
  }
  function send() {
    const [network, unit, sample] = ["network", "unit", "sample"].map((name) => model.get(name));
    frame.contentWindow.postMessage({ everygrad: { network, unit, sample } }, "*");
  }
  addEventListener("message", heard);
  model.on("change:network change:unit change:sample", send);
  return () => removeEventListener("message", heard);
}

// ---- start ---------------------------------------------------------------------------------------------------------

function start(island) {
  root.dataset.live = ""; // style.css shows what needs the script
  themes(document.getElementById("theme"));
  paper();
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.csv");
    if (button) copy(button);
    else follow(event);
  });
  for (const button of document.querySelectorAll("button.csv")) {
    const caption = button.closest(".tabled").querySelector("caption");
    button.setAttribute("aria-label", `Copy as CSV: ${caption.textContent}`);
  }
  document.querySelectorAll(".plot").forEach(readout);

  const reports = JSON.parse(island.textContent).reports.map((report) => report.explore);
  const networks = new Map();
  for (const explorer of document.querySelectorAll(".explorer")) {
    const which = Number(explorer.dataset.report);
    networks.set(which, exploreNetwork(explorer, reports[which], which));
  }
  for (const figure of document.querySelectorAll(".steps")) {
    const explore = reports[Number(figure.dataset.report)];
    exploreSteps(
      figure,
      explore,
      explore.steps.find((steps) => steps.label === figure.dataset.layer),
    );
  }
  addEventListener("message", (event) => {
    if (event.source === window.parent && event.data.everygrad)
      networks.get(event.data.everygrad.network)?.(event.data.everygrad);
  });
}

const island = document.getElementById("everygrad-record");
if (island) start(island);

export default { render };
