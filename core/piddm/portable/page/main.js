// The page: a sample, sensors, and an ensemble that follows them.
import {number, scale} from "./colours.js";
import {Picture, make} from "./map.js";
import {Plane, weights} from "./projections.js";
import {Table} from "./sensors.js";
import {LinearPart, conditioned} from "./linear.js";
import {Network, white} from "./student.js";

const find = (id) => document.getElementById(id), about = JSON.parse(find("about").textContent);
const state = {about, sensors: [], count: 0, asked: 0}, nodes = about.image[0] * about.image[1];
let network, projection, table, sample;
const shown = {sample: {}, mean: {}, deviation: {}, members: {}};

/** Fields in their own units, of a packed state; what is only relaxed is not rounded to levels. */
function fields(packed, relaxed = false) {
  const {mean, scale: unit} = network.colour;
  return about.fields.map((f, c) => {
    const values = Float64Array.from({length: nodes}, (_, i) => packed[c * nodes + i] * unit[c] + mean[c * nodes + i]);
    const levels = !relaxed && about.levels[f.name];
    return levels ? values.map((v) => levels.reduce((a, b) => Math.abs(b - v) < Math.abs(a - v) ? b : a)) : values;
  });
}

/** What sensors see of a packed state, over their sigma, without the mean; and their targets. */
function likelihood(sensors) {
  const {mean, scale: unit} = network.colour;
  const seen = sensors.map((s) => {
    const c = about.fields.findIndex((f) => f.name === s.field), sigma = Math.hypot(s.sigma, about.noise * unit[c]);
    const at = weights(about.axes, s.at).map(([i, w]) => [c * nodes + i, w]);
    return {at: at.map(([i, w]) => [i, w * unit[c] / sigma]), target: (s.value - at.reduce((sum, [i, w]) => sum + w * mean[i], 0)) / sigma};
  });
  const rows = seen.map(({at}) => { const row = new Float32Array(network.size); for (const [i, w] of at) row[i] += w; return network.colour.apply(row, true); });
  return {linear: new LinearPart(rows), targets: seen.map((s) => s.target), see: (x) => seen.map(({at}) => at.reduce((sum, [i, w]) => sum + w * x[i], 0))};
}

function put(kind, values) {
  about.fields.forEach((f, c) => {
    shown[kind][f.name].draw(values[c], 0, scale(values[c], kind));
    if (kind !== "deviation") mark(kind, f.name);
  });
}
function mark(kind, name) {
  const own = state.sensors.map((sensor, k) => ({sensor, number: k + 1})).filter(({sensor}) => sensor.field === name);
  shown[kind][name].mark(own, {leading: 0, live: kind === "mean"});
}
const says = (name, text) => { find("panel").dataset.state = name; find("panel").querySelector(".says").textContent = text; };

/** The linear part's answer at once, then the student's members. */
async function answer() {
  const asked = ++state.asked, began = performance.now(), {sensors} = state, {colour, size} = network;
  const count = Math.max(2, +find("members").value || 8), rounds = Math.max(1, +find("rounds").value || 8);
  const {linear, targets, see} = likelihood(sensors);
  table.write();
  const still = sensors.length ? colour.apply(linear.lift(targets)) : new Float32Array(size);
  put("mean", fields(still, true));
  says("draft", `The linear part's mean, after ${Math.round(performance.now() - began)} ms; the student's members follow …`);
  find("panel").dataset.draft = performance.now() - began;
  const members = [];
  for (let k = 0; k < count; k++) {
    const noise = white(size, 1000 + k), wrong = white(sensors.length, 5000 + k);
    members.push(await conditioned(
      async (x) => { const made = await network.sample(x); return {sample: made, seen: see(made)}; },
      linear, noise, targets.map((t, i) => t + wrong[i]), rounds));
    await new Promise((next) => setTimeout(next));
    if (state.asked !== asked) return null;
  }
  state.members = members.map((m) => fields(m));
  const mean = about.fields.map((_, c) => Float64Array.from({length: nodes}, (_, i) => members.reduce((sum, _, k) => sum + state.members[k][c][i], 0) / count));
  const deviation = mean.map((m, c) => m.map((v, i) => Math.sqrt(members.reduce((sum, _, k) => sum + (state.members[k][c][i] - v) ** 2, 0) / (count - 1))));
  put("mean", mean); put("deviation", deviation);
  find("member").max = count; one();
  const misfit = members.map((m) => Math.sqrt(see(m).reduce((sum, v, k) => sum + (v - targets[k]) ** 2, 0) / Math.max(1, sensors.length)));
  const about_fit = sensors.length ? `, misfit ${number(misfit.reduce((a, b) => a + b) / count, 2)} (about 1 is what sensors allow)` : "";
  says("answer", `${count} members for ${sensors.length} sensors in ${Math.round(performance.now() - began)} ms, ${count * (sensors.length ? rounds : 1)} calls${about_fit}.`);
  return {mean: mean.map((m) => Array.from(m)), deviation: deviation.map((m) => Array.from(m)), misfit};
}
function one() {
  const k = Math.min(+find("member").value, state.members.length);
  find("member-text").textContent = k;
  put("members", state.members[k - 1]);
}

async function draw() {
  const began = performance.now(), made = await network.sample(white(network.size, +find("seed").value || 0));
  find("took").textContent = `${number(performance.now() - began, 2)} ms, ${about.calls} call${about.calls > 1 ? "s" : ""} of the network`;
  find("took").dataset.ms = performance.now() - began;
  sample = fields(made); put("sample", sample);
  for (const s of state.sensors) if (!s.own) s.value = reading(s);
}
const reading = (s) => weights(about.axes, s.at).reduce((sum, [i, w]) => sum + w * sample[about.fields.findIndex((f) => f.name === s.field)][i], 0);
const handlers = {
  move: (s, at) => { s.at = at; if (!s.own) s.value = reading(s); answer(); },
  drop: (s) => { state.sensors = state.sensors.filter((o) => o !== s); answer(); },
  set: (s, change) => { Object.assign(s, change); answer(); },
  edit: (s) => table.edit(s),
};
function place(field, at, again = true) {
  const c = about.fields.findIndex((f) => f.name === field), s = {id: ++state.count, field, at, sigma: +(0.01 * network.colour.scale[c]).toPrecision(2), here: true};
  s.value = reading(s); state.sensors.push(s);
  return again ? answer() : null;
}

async function start() {
  find("name").textContent = about.title; find("summary").textContent = about.summary;
  const told = {...about.equations, network: `${about.calls} call${about.calls > 1 ? "s" : ""}, ONNX Runtime in WebAssembly`,
    "not as in piddm": `${about.why}: ${number(about.away, 2)} deviations, root mean square`};
  for (const [k, v] of Object.entries(told)) find("equations").append(make("dt", {}, k), make("dd", {}, v));
  network = await Network.open(about);
  projection = new Plane(about.axes);
  for (const f of about.fields) {
    const what = [f.name, f.doc].filter(Boolean).join(", ") + (f.unit ? ` [${f.unit}]` : "");
    for (const [kind, title] of [["mean", "mean"], ["deviation", "deviation"], ["members", "a member"], ["sample", "sample"]]) {
      const picture = new Picture({title: kind === "sample" ? what : `${what}: ${title}`, label: `${title} of ${what}. Click to place a sensor.`,
        axes: about.axes, projection, handlers: {...handlers, place: (at) => place(f.name, at)}});
      shown[kind][f.name] = picture; picture.element.dataset.kind = kind;
      (kind === "sample" ? find("sample") : find("panel").querySelector(".grid")).append(picture.element);
    }
  }
  table = new Table(state, handlers); find("table").append(table.element);
  find("three").onclick = () => {
    const inside = (a, share) => a.lower + share * (a.upper - a.lower), f = about.fields.at(-1).name;
    for (const [x, y] of [[0.3, 0.3], [0.7, 0.6], [0.4, 0.8]]) place(f, [inside(about.axes[0], x), inside(about.axes[1], y)], false);
    answer();
  };
  find("clear").onclick = () => { state.sensors = []; answer(); };
  find("draw").onclick = () => { find("seed").value = +find("seed").value + 1; redraw(); };
  const redraw = async () => { await draw(); answer(); };
  find("seed").onchange = redraw; find("members").onchange = answer; find("rounds").onchange = answer;
  find("member").oninput = () => state.members && one();
  find("theme").onclick = () => {
    const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.theme = dark === "dark" ? "light" : "dark";
  };
  find("busy").hidden = true; find("work").hidden = false;
  await draw(); await answer();
}

globalThis.piddm = {about, white, sample: async (noise) => Array.from(await network.sample(Float32Array.from(noise))), answer: () => answer(), place};
start().catch((error) => { find("busy").hidden = true; find("banner").hidden = false; find("banner").textContent = `This browser cannot run the page: ${error.message ?? error}`; });
