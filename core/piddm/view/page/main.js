// The page: what its parts share, and what a change of it asks for.
import {ask, get, page, save} from "./net.js";
import {Globe, Plane, between, node} from "./projections.js";
import {make} from "./map.js";
import {number} from "./colours.js";
import {Panel, scalesOf} from "./panel.js";
import {Samples} from "./samples.js";
import {Table, csv} from "./sensors.js";

const $ = (id) => document.getElementById(id);
let state, panels = [], samples, table, next = 1;

function fail(error) { $("banner").hidden = false; $("banner").className = "error"; $("banner-text").textContent = error.message; }

async function open(key, again = false) {
  $("busy").hidden = false; $("work").hidden = true; $("banner").hidden = true;
  $("busy-text").textContent = "Opening …";
  let about;
  try { about = await ask("open", {subject: key, again}); } catch (error) { $("busy").hidden = true; fail(error); return; }
  if (about.large) { $("busy").hidden = true; fail(new Error("One state has too many values for a browser: take fewer nodes, or piddm solve and its files")); return; }
  begin(key, about);
  $("busy").hidden = true; $("work").hidden = false;
}

function begin(key, about) {
  const leading = about.axes.length - Math.min(2, about.axes.length);
  const curve = !about.sphere && (about.axes.length === 1 || (about.axes.length === 2 && about.axes[0].time)) ? about.axes.at(-1) : null;
  const sliders = about.axes.length === 2 && curve ? [about.axes[0]] : about.axes.slice(0, leading);
  state = {
    subject: key, about, sensors: [], extra: "", params: {}, truth: null, offset: 0, leading,
    projection: about.sphere ? new Globe(about.axes) : new Plane(about.axes),
    slow: {curve, sliders, at: sliders.map(() => 0), start: 0, when: ""},
    csv: () => csv(state), members: () => Number($("members").value), seed: () => Number($("seed").value) || 0,
    quantities: () => $("quantity").value.split(";").map((t) => t.trim()).filter(Boolean),
    kept: {}, keep, scales: (field, values, deviation) => state.kept[field] ?? scalesOf(values, deviation),
  };
  write(about); slide();
  $("field").replaceChildren(...about.fields.map((f) => make("option", {value: f.name}, f.doc ? `${f.name}, ${f.doc}` : f.name)));
  $("field").value = about.fields.at(-1).name;
  const handlers = {place, move, drop, edit: (sensor) => table.edit(sensor), turned};
  panels = [new Panel("a", state, handlers)];
  $("panels").replaceChildren(panels[0].element);
  $("compare").checked = false;
  table = new Table(state, {move, drop, set: (sensor, to) => { Object.assign(sensor, to); changed(); }});
  $("table").replaceChildren(table.element);
  table.write();
  samples = new Samples(state, {drawn, turned});
  $("samples").replaceChildren(samples.element);
  samples.ask();
}

/** A sample was drawn: sensors read it from now on, unless they have values of their own. */
function drawn(fields, whole) {
  const first = !state.truth;
  state.truth = fields;
  if (!whole) return;
  for (const sensor of state.sensors) if (!sensor.own) sensor.value = read(sensor);
  if (first || !state.asked || state.sensors.length) { state.asked = true; changed(); }
}

const read = (sensor) => state.truth ? +between(state.truth[sensor.field], state.about.axes, sensor.at).toPrecision(6) : 0;

function write(about) {
  $("name").textContent = about.pde; $("summary").textContent = about.summary;
  const row = ([name, text]) => [make("dt", {}, name), make("dd", {}, text)];
  const axes = about.axes.map((a) => `${a.name} from ${number(a.lower)} to ${number(a.upper)}${a.periodic ? ", periodic" : ""}, ${a.nodes.length} nodes`);
  $("equations").replaceChildren(...[...Object.entries(about.equations), ...Object.entries(about.conditions),
    ["domain", about.sphere ? `sphere, ${about.axes.map((a) => a.nodes.length).join(" × ")} nodes` : axes.join("; ")],
    ...about.params.map((p) => [p.name, p.value === null ? `${p.doc}, unknown` : `${p.doc ? p.doc + ", " : ""}${number(p.value)}`]),
    ["source", about.source || "not given"]].flatMap(row));
}

/** Sliders of time, and of whatever else comes before the axes of the pictures. */
function slide() {
  const {slow, about} = state;
  const update = () => {
    if (about.axes.length === 2) { slow.start = slow.at[0] ?? 0; state.offset = 0; }
    else {
      let index = 0;
      slow.sliders.forEach((axis, d) => { index = index * axis.nodes.length + slow.at[d]; });
      state.offset = index * about.axes.slice(state.leading).reduce((a, b) => a * b.nodes.length, 1);
    }
    slow.when = slow.sliders.map((axis, d) => ` at ${axis.name} = ${number(axis.nodes[slow.at[d]])}`).join("");
    here();
    for (const panel of panels) panel.draw();
    samples?.again();
  };
  $("sliders").replaceChildren(...slow.sliders.flatMap((axis, d) => {
    slow.at[d] = axis.time ? Math.round(axis.nodes.length / 2) : axis.nodes.length >> 1;
    const id = `slider-${d}`, text = make("output", {for: id});
    const say = () => { text.textContent = number(axis.nodes[slow.at[d]]); };
    const input = make("input", {id, type: "range", min: 0, max: axis.nodes.length - 1, value: slow.at[d], oninput: () => { slow.at[d] = Number(input.value); say(); update(); }});
    let timer = 0;
    const play = make("button", {type: "button", onclick: () => {
      if (timer) { clearInterval(timer); timer = 0; play.textContent = "Play"; return; }
      play.textContent = "Stop";
      timer = setInterval(() => { if (!input.isConnected) { clearInterval(timer); return; } input.value = (Number(input.value) + 1) % axis.nodes.length; input.dispatchEvent(new Event("input")); }, 120);
    }}, "Play");
    say();
    return [make("label", {for: id}, axis.name), input, text, play];
  }));
  $("sliders").hidden = !slow.sliders.length;
  update();
}

/** Which sensors are at the time that is shown. */
function here() {
  const {sensors, slow, about} = state;
  for (const sensor of sensors) sensor.here = slow.sliders.every((axis, d) => {
    const step = (axis.upper - axis.lower) / axis.nodes.length;
    return Math.abs(sensor.at[d] - axis.nodes[slow.at[d]]) <= (about.axes.length === 2 ? 1.5 : 0.75) * step || (about.axes.length === 2 && !slow.curve);
  });
}

/** Something that is asked has changed. */
function changed() {
  here();
  table.write();
  $("extra").hidden = !state.extra;
  $("csv").disabled = !csv(state);
  for (const panel of panels) { panel.mark(); panel.ask(); }
}

/** One scale for each field as long as a subject is open: that of the law. */
function keep(answer) {
  if (answer.seen) return;
  for (const {name} of state.about.fields) {
    state.kept[name] ??= scalesOf(answer.arrays[`members/${name}`].values, answer.arrays[`deviation/${name}`].values);
  }
}

function place(field, at) {
  state.extra = "";
  const {slow, leading, about} = state;
  const before = slow.sliders.slice(0, leading).map((axis, d) => axis.nodes[slow.at[d]]);
  const sensor = {id: next++, field, at: [...before, ...at].slice(0, about.axes.length).map((v) => +v.toPrecision(6)), own: false};
  sensor.value = read(sensor);
  const kept = state.kept[field]?.field;
  sensor.sigma = kept ? +(0.01 * (kept.high - kept.low)).toPrecision(2) : 0.01;
  state.sensors.push(sensor);
  changed();
  return sensor;
}

function move(sensor, at) {
  sensor.at = at.map((v, d) => {
    const {lower, upper, periodic} = state.about.axes[d];
    const size = upper - lower;
    return +(periodic ? lower + ((v - lower) % size + size) % size : Math.min(upper, Math.max(lower, v))).toPrecision(6);
  });
  if (!sensor.own) sensor.value = read(sensor);
  changed();
}

function drop(sensor) {
  state.sensors.splice(state.sensors.indexOf(sensor), 1);
  changed();
  $("add").focus();
}

function turned() { for (const panel of panels) panel.turn(); samples.again(); }

/** Put a sensor where the answer is least certain. */
function add() {
  const field = $("field").value, answer = panels[0].answer, axes = state.about.axes;
  let index = 0;
  if (answer) {
    const {values} = answer.arrays[`deviation/${field}`];
    const size = axes.slice(state.leading).reduce((a, b) => a * b.nodes.length, 1);
    const [low, high] = axes.length > 2 ? [state.offset, state.offset + size] : [0, values.length];
    // The answer may be of before the last sensor: not twice at one place.
    const taken = new Set(state.sensors.filter((s) => s.field === field).map((s) => s.at.reduce((i, v, d) => i * axes[d].nodes.length + node(axes[d], v), 0)));
    index = low;
    for (let i = low; i < high; i++) if (!taken.has(i) && (taken.has(index) || values[i] > values[index])) index = i;
  }
  const at = [];
  for (const axis of [...axes].reverse()) { at.unshift(axis.nodes[index % axis.nodes.length]); index = Math.floor(index / axis.nodes.length); }
  place(field, at.slice(state.leading));
  panels[0].maps.find((row) => row.field === field).mean.markers.get(next - 1)?.focus();
}

async function file(given) {
  if (!given) return;
  try {
    if (given.size > 4_000_000) throw new Error(`${given.name} is larger than 4 MB: take piddm solve, which reads it from the disk`);
    const found = await ask("drop", {subject: state.subject, name: given.name.slice(0, 200) || "observations.csv", text: await given.text()});
    state.extra = found.text; state.params = found.params ?? {};
    state.sensors = found.sensors.map((s) => ({...s, id: next++, own: true}));
    $("banner").hidden = true;
    changed();
  } catch (error) { fail(error); }
}

function compare() {
  if ($("compare").checked) {
    const handlers = {place, move, drop, edit: (sensor) => table.edit(sensor), turned};
    panels.push(new Panel("b", state, handlers));
    $("panels").append(panels[1].element);
    panels[1].ask();
  } else { panels.pop().element.remove(); }
  $("panels").classList.toggle("two", panels.length > 1);
}

async function look() {
  if (!state || document.hidden) return;
  try {
    const found = await get("state", {subject: state.subject});
    for (const panel of panels) {
      const own = found.progress[panel.key];
      if (own && panel.element.dataset.state !== "answer") panel.says.textContent = `Answering … ${own[0]}, ${own[1]} of ${own[2]} steps`;
    }
    if (found.state === "same") return;
    $("banner").hidden = false; $("banner").className = "note";
    $("banner-text").textContent = found.state === "changed"
      ? "The run went on since it was opened here. What is shown is of the student as it was."
      : "The run's folder is gone. What was read of it stays, and answers go on.";
    $("reopen").hidden = found.state !== "changed";
  } catch (error) { fail(error); }
}

$("subject").addEventListener("change", () => open($("subject").value));
$("reopen").addEventListener("click", () => { $("reopen").hidden = true; open(state.subject, true); });
$("add").addEventListener("click", add);
$("clear").addEventListener("click", () => { state.sensors = []; state.extra = ""; state.params = {}; changed(); });
$("compare").addEventListener("change", compare);
for (const id of ["members", "seed", "quantity"]) $(id).addEventListener("change", () => changed());
$("file").addEventListener("change", () => { file($("file").files[0]); $("file").value = ""; });
$("csv").addEventListener("click", () => save(new Blob([csv(state)], {type: "text/csv"}), "observations.csv"));
$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  for (const panel of panels) panel.draw();
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); file(event.dataTransfer.files[0]); });
setInterval(look, 1500);

try {
  const found = await get("start");
  $("subject").replaceChildren(...found.subjects.map((s) => make("option", {value: s.key}, s.title)));
  $("version").textContent = found.version;
  await open("first");
} catch (error) { fail(error); }
export {page};
