// The page of `segpoint annotate`. The server knows everything; this draws what it says and sends what a person does.

const $ = (id) => document.getElementById(id);
const canvas = $("picture"), brushSizes = [2, 4, 7, 11, 16, 24, 36, 54];
let state = null, image = null, selected = new Set(), naming = 0;
let view = { scale: 1, x: 0, y: 0, whole: true };
let tool = "", size = 3, stroke = null, panned = null, pointer = null, hidden = false;
let labels = null, proposed = null, overlay = document.createElement("canvas");
let queue = Promise.resolve(), waiting = false;
let ahead = null;  // the next cloud's picture: { place, picture }, the latter a promise
let unsure = null;  // a sentence that is saved for nothing only when that is said once more
// For whoever drives the page: tests, and measurements of how long it takes.
window.annotate = { get state() { return state; }, get shown() { return image && image.place; }, drawn: 0, busy: 0, window: toWindow };

// --- the server ------------------------------------------------------------------------------------------------------

class Refused extends Error {}

async function post(action, given = {}) {
  const answer = await fetch(`api/${action}`, { method: "POST", body: JSON.stringify(given) });
  if (!answer.ok) throw new Refused((await answer.text()).trim());
  return answer.json();
}

// One action after the other, in the order in which they were meant. Each says what it is about: the cloud and the
// version that the page shows when it is sent, or, of what was pointed at, the cloud that was shown then. "shown" is the
// version that the person saw: what the model has answered since is not meant.
function act(action, given) {
  const shown = state?.version;
  sure();
  window.annotate.busy++;
  queue = queue.then(async () => {
    try {
      const next = await post(action, { cloud: state?.number, seen: state?.version, shown, ...given });
      await show(next);
      return next;
    } catch (error) {
      if (error instanceof Refused) toast(`This was not done: ${error.message}`);
      else toast(`The server does not answer (${error.message}), and this was not done. Start segpoint annotate again: what was done before is saved.`);
    } finally {
      window.annotate.busy--;
    }
  });
  return queue;
}

// The model is slow: its answer is waited for beside the actions.
async function wait() {
  if (waiting) return;
  waiting = true;
  try {
    while (state.thinking || state.model === "loading") await show(await post(state.thinking ? "wait" : "state")), await pause(state.thinking ? 0 : 700);
  } catch { /* told by the next action */ } finally {
    waiting = false;
  }
}
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function show(next) {
  const old = () => state && next.version < state.version;
  if (old()) return;
  const fresh = !state || state.place !== next.place;
  const picture = fresh ? await (ahead && ahead.place === next.place ? ahead.picture : load(next.place)) : image;
  if (old()) return;  // another has come while the picture did
  image = picture;
  const before = state;
  state = next;
  labels = unrun(state.layer, state);
  proposed = state.proposal && unrun(state.proposal.layer, state);
  if (!before) resize();
  else if (fresh && view.whole) fit();
  selected = new Set([...selected].filter((n) => state.objects.some((o) => o.number === n)));
  if (next.result) chosen(next.result, before);
  paintOverlay();
  draw();
  panels();
  if (next.error) toast(next.error);
  else if (!unsure && (!before || next.version !== before.version)) toast("");
  lookAhead();
  wait();
}

async function load(place) {
  const picture = Object.assign(new Image(), { src: `picture?place=${place}`, place });
  await picture.decode();
  return picture;
}

// The next cloud's picture, while the person looks at this one.
function lookAhead() {
  const place = state.place + 1;
  if (place === state.clouds.length || (ahead && ahead.place === place)) return;
  const picture = load(place);
  ahead = { place, picture };
  picture.catch(() => { if (ahead && ahead.picture === picture) ahead = null; });  // loaded again, and told, if it is wanted
}

function unrun(runs, { width, height }) {
  const layer = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < runs.length; i += 2) layer.fill(runs[i], at, (at += runs[i + 1]));
  return layer;
}

// --- the picture -----------------------------------------------------------------------------------------------------

// By the golden angle, so that neighbours in number are far apart in hue; magenta is for what is proposed.
function colour(number) {
  const hue = (number * 137.508 + 60) % 300;
  const [s, l] = [0.85, number % 2 ? 0.6 : 0.7];
  const f = (n) => { const k = (n + hue / 30) % 12; return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1)))); };
  return [f(0), f(8), f(4)];
}
const css = (number) => `rgb(${colour(number).join()})`;
const NEW = [255, 79, 180];

function paintOverlay() {
  const { width, height } = state;
  overlay.width = width; overlay.height = height;
  const context = overlay.getContext("2d"), pixels = context.createImageData(width, height);
  const fill = new Uint32Array(pixels.data.buffer);
  const rgba = ([r, g, b], a) => (a << 24) | (b << 16) | (g << 8) | r;
  const object = [], part = [];
  for (const { number } of state.objects) object[number] = { soft: rgba(colour(number), selected.has(number) ? 150 : 95), hard: rgba(selected.has(number) ? [255, 255, 255] : colour(number), 255) };
  (state.proposal ? state.proposal.parts : []).forEach((p, i) => {
    const ink = p.object ? colour(p.object) : NEW;
    part[i + 1] = p.out ? { soft: 0, hard: rgba(ink, 120) } : { soft: rgba(ink, 150), hard: rgba([255, 255, 255], 255), dashed: true };
  });
  const edge = (layer, at, x, y) => {
    const value = layer[at];
    return (x > 0 && layer[at - 1] !== value) || (x < width - 1 && layer[at + 1] !== value) || (y > 0 && layer[at - width] !== value) || (y < height - 1 && layer[at + width] !== value);
  };
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const mine = proposed && proposed[at];
      if (mine) {
        const ink = part[mine];
        fill[at] = edge(proposed, at, x, y) ? (ink.dashed && ((x + y) >> 2) & 1 ? ink.soft : ink.hard) : ink.soft;
        if (part[mine].soft || fill[at]) continue;
      }
      const label = labels[at];
      if (label && object[label]) fill[at] = edge(labels, at, x, y) ? object[label].hard : object[label].soft;
    }
  }
  context.putImageData(pixels, 0, 0);
}

function resize() {
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = Math.round(box.width * ratio); canvas.height = Math.round(box.height * ratio);
  if (state && view.whole) fit();
  draw();
}

function fit() {
  const scale = Math.min(canvas.width / state.width, canvas.height / state.height) * 0.98;
  view = { scale, x: (canvas.width - state.width * scale) / 2, y: (canvas.height - state.height * scale) / 2, whole: true };
}

function draw() {
  if (!state || !image || !labels) return;
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
  context.imageSmoothingEnabled = view.scale < 3;
  context.drawImage(image, 0, 0, state.width, state.height);
  if (!hidden) { context.drawImage(overlay, 0, 0); tags(context); }
  const way = stroke ? stroke.add : brushing(null);
  if (stroke) {
    context.strokeStyle = stroke.add ? "#ffffff90" : "#ff000090";
    context.lineWidth = 2 * brushSizes[size]; context.lineCap = context.lineJoin = "round";
    context.beginPath();
    stroke.points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y - 0.01)));
    context.lineTo(...stroke.points[stroke.points.length - 1]);
    context.stroke();
  }
  if (pointer && way !== null) {
    context.strokeStyle = way ? "#fff" : "#f66"; context.lineWidth = 1.5 / view.scale;
    context.beginPath(); context.arc(pointer.x, pointer.y, brushSizes[size], 0, 7); context.stroke();
  }
  window.annotate.drawn = performance.now();
}

// The number of each object, in the middle of what is seen of it.
function tags(context) {
  const sums = new Map();
  for (let at = 0; at < labels.length; at += 3) {
    if (!labels[at]) continue;
    const sum = sums.get(labels[at]) || [0, 0, 0];
    sum[0] += at % state.width; sum[1] += Math.floor(at / state.width); sum[2]++;
    sums.set(labels[at], sum);
  }
  context.textAlign = "center"; context.textBaseline = "middle";
  const unit = (window.devicePixelRatio || 1) / view.scale;
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  for (const [number, [x, y, count]] of sums) {
    const text = `${number}${name(number) && ` ${name(number)}`}`, half = context.measureText(text).width / 2 + 5 * unit;
    context.fillStyle = "#000c"; context.beginPath();
    context.roundRect(x / count - half, y / count - 10 * unit, 2 * half, 20 * unit, 5 * unit); context.fill();
    context.fillStyle = css(number); context.fillText(text, x / count, y / count);
  }
}
const name = (number) => (state.objects.find((o) => o.number === number) || {}).category || "";

// --- the panels ------------------------------------------------------------------------------------------------------

function make(tag, values = {}, ...children) {
  const { dataset, style, ...plain } = values, element = Object.assign(document.createElement(tag), plain);
  Object.assign(element.dataset, dataset || {});
  for (const [key, value] of Object.entries(style || {})) element.style.setProperty(key, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}
const chip = (number) => make("span", { className: "chip", textContent: number, style: { background: css(number) } });

function panels() {
  const busy = document.activeElement && document.activeElement.dataset.name ? document.activeElement : null;
  proposalPanel();
  if (!busy) objectPanel();
  $("asked").replaceChildren(...state.asked.map((a) => make("li", { className: a.here ? "" : "away" },
    make("span", { textContent: `“${a.text}”` }),
    make("button", { className: "drop", textContent: "✕", title: "take it back", onclick: () => act("forget", { row: a.row }) }),
    make("span", { className: "meant" }, ...a.targets.map(chip), a.targets.length ? null : "nothing is meant",
      a.kind ? `· ${a.kind}` : null, a.cloud === null ? null : `· cloud ${a.cloud} only`))));
  $("categories").replaceChildren(...[...new Set(state.objects.map((o) => o.category))].filter(Boolean).map((value) => make("option", { value })));
  const strip = $("strip");
  strip.replaceChildren(...state.clouds.map((cloud, place) => make("button", {
    className: `${cloud.review ? "review" : cloud.done ? "done" : ""}${place === state.place ? " on" : ""}`, textContent: place + 1, tabIndex: -1,
    title: cloud.review ? "labels by the model, to be reviewed" : cloud.done ? "annotated" : "not annotated", onclick: () => act("go", { place }) })));
  const done = state.clouds.filter((cloud) => cloud.done && !cloud.review).length;
  $("where").textContent = `cloud ${state.number} at ${state.at.toFixed(2)} s · ${done} of ${state.clouds.length} annotated`;
  const model = $("model"), trouble = !["ready", "loading"].includes(state.model);
  model.className = state.thinking || state.model === "loading" ? "busy" : trouble ? "bad" : "ready";
  model.textContent = state.model === "loading" ? "model is loading" : state.thinking ? "model is thinking" : trouble ? "no model: geometry" : "model";
  model.title = trouble ? state.model : "";
  $("undo").disabled = !state.undoable;
  const last = state.place + 1 === state.clouds.length;
  $("finish").firstChild.textContent = `${state.proposal ? (last ? "Accept" : "Accept, next") : last ? "Done" : "Next"} `;
  meant();
}

function objectPanel() {
  $("objects").replaceChildren(...state.objects.map((o) => {
    const field = make("input", { type: "text", value: o.category, placeholder: "name, then Enter", spellcheck: false, dataset: { name: o.number } });
    field.setAttribute("list", "categories");
    field.setAttribute("aria-label", `category of object ${o.number}`);
    field.onchange = () => act("name", { object: o.number, category: field.value });
    field.onfocus = () => { selected = new Set([o.number]); mark(); };
    return make("li", { className: `${selected.has(o.number) ? "on " : ""}${o.points ? "" : "away"}`, dataset: { object: o.number },
      onclick: (event) => event.target === field || event.target.className === "drop" || select(o.number, event.ctrlKey || event.shiftKey) },
      chip(o.number), field, make("b", { className: "then", textContent: "name, then Enter" }),
      make("small", { textContent: o.points ? o.points.toLocaleString("en") : "not here", title: `points here; marked in ${o.clouds} clouds` }),
      make("button", { className: "drop", textContent: "✕", tabIndex: -1, title: "take it off this cloud (Shift: off all)", onclick: (event) => act("remove", { object: o.number, everywhere: event.shiftKey || !o.points }) }));
  }));
  $("empty").hidden = state.objects.length > 0;
  $("counted").textContent = state.objects.length ? `${state.objects.filter((o) => o.points).length} here` : "";
  if (naming) {
    const field = document.querySelector(`[data-name="${naming}"]`);
    naming = 0;
    if (field) { field.focus(); field.select(); }
  }
}

const SOURCES = { sentence: "The model finds", click: "The thing there", carried: "Carried over", review: "By the model, to be reviewed" };
function proposalPanel() {
  const card = $("proposal"), p = state.proposal;
  card.hidden = !p;
  if (!p) return;
  const points = (part) => `${part.object ? `${part.object} ` : ""}${part.name || (part.object ? name(part.object) : "object")} · ${part.points.toLocaleString("en")} points${part.score === null ? "" : ` · score ${part.score.toFixed(2)}`}`;
  const slider = make("input", { type: "range", min: -8, max: 8, value: p.steps, tabIndex: -1, title: "size ( [ and ] )" });
  slider.onchange = () => { canvas.focus(); act("resize", { steps: slider.value - p.steps }); };
  card.replaceChildren(
    make("h3", { textContent: `${SOURCES[p.source]}${p.text ? ` for “${p.text}”` : ""}` }),
    make("div", { className: "parts" }, ...p.parts.map((part) => make("div", {}, make(part.out ? "s" : "span", { textContent: points(part) }))), p.parts.length ? null : "nothing yet: brush, or click on it"),
    p.choices.length > 1 ? make("div", { className: "row" }, ...p.choices.map((choice) => make("span", { className: `choice${choice === p.shown ? " on" : ""} chip-wide`, textContent: choice })), make("button", { type: "button", tabIndex: -1, onclick: () => act("next") }, "other ", make("kbd", { textContent: "Tab" }))) : "",
    make("div", { className: "row" }, make("kbd", { textContent: "[" }), slider, make("kbd", { textContent: "]" })),
    make("div", { className: "row" },
      make("button", { type: "button", className: "main", tabIndex: -1, onclick: () => accept() }, "Accept ", make("kbd", { textContent: "⏎" })),
      make("button", { type: "button", tabIndex: -1, onclick: () => act("reject") }, p.source === "review" ? "Reject all " : "Reject ", make("kbd", { textContent: "Esc" }))),
    p.source === "review" ? make("p", { className: "hint", textContent: "Reject all: the cloud is not annotated then. One object alone: ✕ in the list." }) : "");
}

function toast(text, good = false) {
  $("toast").textContent = text;
  $("toast").className = good ? "good" : "";
}

// --- what a person does ----------------------------------------------------------------------------------------------

function select(number, also = false) {
  if (!also) selected = new Set(selected.size === 1 && selected.has(number) ? [] : [number]);
  else if (!selected.delete(number)) selected.add(number);
  mark();
}

function mark() {
  for (const row of $("objects").children) row.classList.toggle("on", selected.has(Number(row.dataset.object)));
  meant();
  paintOverlay();
  draw();
}

function meant() {
  $("targets").textContent = selected.size ? [...selected].map((n) => `${n} ${name(n)}`.trim()).join(", ") : "nothing";
  $("instruct").title = `Shift+Enter: save the sentence ${selected.size ? "for the selected objects" : "as one that there is nothing to mark for"}`;
}

const one = () => (selected.size === 1 ? [...selected][0] : 0);
const accept = (object = 0) => act("accept", { object });

// What came of an accepted proposal is selected. A new object that was clicked on is named: the word that stands there,
// if any, is the model's guess.
function chosen(numbers, before) {
  if (!numbers.length) return;
  selected = new Set(numbers);
  const fresh = !before.objects.some((o) => o.number === numbers[0]);
  if (numbers.length === 1 && fresh && (!before.proposal.text || !name(numbers[0]))) naming = numbers[0];
  if (document.activeElement === $("text")) canvas.focus();
  $("text").value = "";
}

// Whether a name is among the words of a sentence.
function occurs(name, text) {
  const plain = (words) => ` ${words.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim()} `, words = plain(name).trimEnd();
  return words.trim() !== "" && [" ", "s ", "es "].some((end) => plain(text).includes(words + end));
}

function sure() {
  if (unsure) clearTimeout(unsure.timer);
  unsure = null;
  $("instruct").classList.remove("unsure");
}

async function instruct() {
  const text = $("text").value.trim();
  if (!text) return $("text").focus();
  const named = selected.size ? [] : state.objects.filter((o) => occurs(o.category, text));
  if (named.length && !(unsure && unsure.text === text)) {
    sure();
    unsure = { text, timer: setTimeout(() => { sure(); toast(""); }, 8000) };
    $("instruct").classList.add("unsure");
    const which = named.map((o) => `${o.number} ${o.category}`).join(", ");
    toast(`Nothing is selected. Is ${which} meant? Then Esc and select it. Shift+Enter once more: “${text}” has nothing to mark.`);
    return;
  }
  await act("instruct", { text, targets: [...selected], kind: $("kind").value, only_here: $("only").checked });
  if (!$("toast").textContent) {
    toast(selected.size ? `saved for ${$("targets").textContent}` : "saved: nothing is meant", true);
    $("text").value = "";
    canvas.focus();
  }
}

$("say").onsubmit = (event) => {
  event.preventDefault();
  if ($("text").value.trim()) { act("say", { text: $("text").value }); canvas.focus(); }
};
$("instruct").onclick = instruct;
$("undo").onclick = () => act("undo");
$("finish").onclick = () => { canvas.focus(); act("finish"); };
$("keys").onclick = () => $("help").showModal();

const KEYS = {
  "Enter": () => state.proposal && accept(),
  "Escape": () => { if (tool) setTool(""); else if (state.proposal || state.thinking) act("reject"); else { selected.clear(); mark(); } },
  " ": () => act("finish"),
  "Tab": () => state.proposal && act("next"),
  "[": () => act("resize", { steps: -1, object: one() }),
  "]": () => act("resize", { steps: 1, object: one() }),
  "ArrowRight": () => act("step", { way: 1 }),
  "ArrowLeft": () => act("step", { way: -1 }),
  "/": () => { $("text").focus(); $("text").select(); },
  "b": () => setTool(tool === "add" ? "" : "add"),
  "e": () => setTool(tool === "take" ? "" : "take"),
  ",": () => { size = Math.max(0, size - 1); draw(); },
  ".": () => { size = Math.min(brushSizes.length - 1, size + 1); draw(); },
  "n": () => { const field = document.querySelector(`[data-name="${one()}"]`); if (field) { field.focus(); field.select(); } },
  "Delete": (event) => one() && act("remove", { object: one(), everywhere: event.shiftKey }),
  "c": () => act("carry"),
  "u": () => act("undo"),
  "x": () => act("drop"),
  "h": () => { hidden = true; draw(); },
  "0": () => { fit(); draw(); },
  "?": () => $("help").showModal(),
};
KEYS.Backspace = KEYS.Delete;

function setTool(name) {
  tool = name;
  $("tool").textContent = name === "add" ? "brush: drag adds points (B ends)" : name === "take" ? "eraser: drag takes points away (E ends)" : "";
  draw();
}

addEventListener("keydown", (event) => {
  if ($("help").open || !state) return;
  const field = event.target.tagName === "INPUT" && event.target.type === "text" ? event.target : null;
  if (field) {
    if (event.key === "Escape") { if (field.dataset.name) field.value = name(Number(field.dataset.name)); canvas.focus(); panels(); }
    else if (event.key === "Enter" && field.dataset.name) { field.blur(); canvas.focus(); event.preventDefault(); }
    else if (event.key === "Enter" && (event.shiftKey || field === $("kind"))) { event.preventDefault(); instruct(); }
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); return act("undo"); }
  if (event.ctrlKey || event.metaKey) return;
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (digit) {
    const number = Number(digit[1]);
    if (!state.objects.some((o) => o.number === number)) return;
    if (state.proposal && state.proposal.source === "click") accept(number);
    else select(number, event.shiftKey);
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (KEYS[key]) { event.preventDefault(); KEYS[key](event); }
  else if (event.key === "Shift" || event.key === "Alt") { if (event.key === "Alt") event.preventDefault(); draw(); }
});
addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "h" && hidden) { hidden = false; draw(); } else if (event.key === "Shift") draw(); });
addEventListener("resize", resize);

// --- the mouse -------------------------------------------------------------------------------------------------------

// Whether a drag adds points (true), takes them away (false), or is none of the brush's (null).
function brushing(event) {
  if (event && (event.altKey || event.button === 2 || event.buttons === 2)) return false;
  if (event && event.shiftKey) return true;
  return tool ? tool === "add" : null;
}

function place(event) {
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
  return { x: ((event.clientX - box.left) * ratio - view.x) / view.scale, y: ((event.clientY - box.top) * ratio - view.y) / view.scale, ratio };
}

// Where a pixel of the picture is in the window.
function toWindow(x, y) {
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
  return [box.left + (x * view.scale + view.x) / ratio, box.top + (y * view.scale + view.y) / ratio];
}

canvas.addEventListener("pointerdown", (event) => {
  if (!state) return;
  canvas.focus();
  const at = place(event), add = brushing(event);
  if (event.button === 1) panned = { event, x: view.x, y: view.y };
  else if (add !== null) stroke = { add, cloud: state.number, points: [[at.x, at.y]] };
  else if (event.button === 0) click(at, event);
  if (panned || stroke) { canvas.setPointerCapture(event.pointerId); event.preventDefault(); }
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!state) return;
  pointer = place(event);
  if (panned) {
    view.x = panned.x + (event.clientX - panned.event.clientX) * pointer.ratio; view.y = panned.y + (event.clientY - panned.event.clientY) * pointer.ratio; view.whole = false;
  } else if (stroke) stroke.points.push([pointer.x, pointer.y]);
  else if (!tool) return;
  draw();
});
canvas.addEventListener("pointerup", () => {
  if (stroke) {
    const done = stroke;
    stroke = null;
    if (!state.proposal && !one() && !done.add) toast("Select an object first: click on it, or press its number.");
    else act("brush", { cloud: done.cloud, stroke: done.points, radius: brushSizes[size], add: done.add, object: one() });
  }
  panned = null;
});
canvas.addEventListener("pointerleave", () => { pointer = null; draw(); });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = place(event), least = Math.min(canvas.width / state.width, canvas.height / state.height) * 0.5;
  const scale = Math.min(40, Math.max(least, view.scale * Math.exp(-event.deltaY / 400)));
  view = { scale, x: view.x + at.x * (view.scale - scale), y: view.y + at.y * (view.scale - scale), whole: false };
  draw();
}, { passive: false });

function click(at, event) {
  const x = Math.floor(at.x), y = Math.floor(at.y);
  if (x < 0 || y < 0 || x >= state.width || y >= state.height) return;
  const pixel = y * state.width + x;
  if (labels[pixel] && !state.proposal && !event.ctrlKey) return select(labels[pixel]);
  act("click", { cloud: state.number, x: at.x, y: at.y });
}

act("state");
canvas.focus();
