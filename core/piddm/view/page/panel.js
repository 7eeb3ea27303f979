// One solver's answer: for each field its mean, its deviation and one member; numbers; a recipe.
import {Superseded, ask, save} from "./net.js";
import {number, scale} from "./colours.js";
import {Picture, make} from "./map.js";
import {Profile} from "./profile.js";

const QUICK = new Set(["gaussian"]);  // solvers whose answers need no draft

export class Panel {
  /** state: what all panels share, see main.js; handlers: of the pictures. */
  constructor(key, state, handlers) {
    this.key = key; this.state = state; this.handlers = handlers; this.maps = [];
    const about = state.about;
    this.solver = make("select", {id: `solver-${key}`, onchange: () => this.chosen()},
      make("option", {value: "auto"}, "auto: what the equation asks for"),
      ...about.solvers.map((s) => make("option", {value: s.name, title: s.summary}, s.name)));
    this.solver.value = key === "b" ? "gaussian" : about.solver;
    this.settings = make("input", {id: `settings-${key}`, type: "text", size: 18, spellcheck: "false", autocomplete: "off", placeholder: "name=value …", onchange: () => this.ask()});
    this.says = make("p", {class: "says", role: "status", "aria-live": "polite"});
    this.grid = make("div", {class: "grid"});
    this.table = make("dl", {class: "numbers"});
    this.member = make("input", {type: "range", id: `member-${key}`, min: 0, max: 0, value: 0, oninput: () => this.draw()});
    this.memberText = make("output", {for: `member-${key}`}, "1");
    this.profiles = make("div", {class: "profiles"});
    this.command = make("pre", {tabindex: 0, "aria-label": "Command line"}); this.python = make("pre", {tabindex: 0, "aria-label": "Python"});
    this.element = make("section", {class: "panel", "data-panel": key, "aria-label": `Answer ${key.toUpperCase()}`},
      make("div", {class: "tools"},
        make("label", {for: this.solver.id}, "Solver"), this.solver,
        make("label", {for: this.settings.id}, "Settings"), this.settings),
      this.says, this.grid, this.profiles,
      make("div", {class: "tools"}, make("label", {for: this.member.id}, "Member shown"), this.member, this.memberText),
      this.table,
      make("div", {class: "tools"},
        make("button", {type: "button", onclick: () => this.file("h5"), "data-file": "h5"}, "Download the answer (HDF5)"),
        make("button", {type: "button", onclick: () => this.file("json"), "data-file": "json"}, "Numbers (JSON)")),
      make("details", {}, make("summary", {}, "The command line and the Python that give this"), this.command, this.python));
    this.chosen(false);
    this.build();
  }
  chosen(andAsk = true) {
    const live = this.state.about.live[this.solver.value] ?? {};
    this.settings.value = Object.entries(live).map(([k, v]) => `${k}=${v}`).join(" ");
    if (andAsk) this.ask();
  }
  build() {
    const {about, projection, slow} = this.state;
    for (const field of about.fields) {
      const unit = field.unit ? ` [${field.unit}]` : "", what = field.doc ? `${field.name}, ${field.doc}${unit}` : field.name + unit;
      const row = {field: field.name};
      for (const [kind, title] of [["mean", "mean"], ["deviation", "deviation"], ["members", "a member"]]) {
        row[kind] = new Picture({
          title: `${what}: ${title}`, label: `${title} of ${what}, answer ${this.key.toUpperCase()}. Click to place a sensor.`,
          axes: about.axes, projection,
          handlers: {...this.handlers, place: (at) => this.handlers.place(field.name, at)},
        });
        row[kind].element.dataset.kind = kind; row[kind].element.dataset.field = field.name;
        this.grid.append(row[kind].element);
      }
      if (slow.curve) {
        row.profile = new Profile(`${what} along ${slow.curve.name}`, slow.curve);
        this.profiles.append(row.profile.element);
      }
      this.maps.push(row);
    }
  }
  question() {
    const settings = {};
    for (const part of this.settings.value.trim().split(/[\s,]+/).filter(Boolean)) {
      const [name, ...value] = part.split("=");
      settings[name] = value.join("=");
    }
    const {key, state} = this;
    return {subject: state.subject, panel: key, observations: state.csv(), solver: this.solver.value, settings,
      members: state.members(), seed: state.seed(), quantities: state.quantities(), interpolation: "linear", project: false};
  }
  /** Ask, with a draft of the linear part first; what is asked meanwhile takes the place of it. */
  async ask() {
    this.since = performance.now();
    if (this.running) { this.dirty = true; if (this.whole) this.control.abort(); return; }
    this.running = true;
    do {
      this.dirty = false;
      const began = this.since, question = this.question();
      try {
        this.tell("working", "Answering …");
        if (question.observations && !QUICK.has(question.solver)) {
          const draft = {...question, solver: "gaussian", settings: {}, quantities: []};
          const found = await ask("answer", draft).catch((error) => { if (error instanceof Superseded) throw error; });
          if (found) {
            this.show(found);
            this.element.dataset.draftMs = performance.now() - began;
            this.tell("draft", "Draft by the linear part; the answer follows …");
          }
          if (this.dirty) continue;
        }
        this.control = new AbortController(); this.whole = true;
        this.show(await ask("answer", question, {signal: this.control.signal}));
        this.element.dataset.ms = performance.now() - began;
        const {answer} = this, seconds = (performance.now() - began) / 1000;
        this.tell("answer", answer.seen
          ? `${answer.members} members of ${answer.solver} for ${answer.seen} observations, in ${number(seconds, 2)} s` + answer.said.map((t) => `. Mind: ${t}`).join("")
          : `No sensor yet: ${answer.members} draws of the law itself. Click a picture to place one.`);
      } catch (error) {
        if (!(error instanceof Superseded)) this.tell("error", error.message);
        else if (!this.dirty) this.tell("error", "The answer was dropped: ask again");
      } finally { this.whole = false; }
    } while (this.dirty);
    this.running = false;
  }
  tell(state, text) { this.element.dataset.state = state; this.says.textContent = text; }
  show(answer) {
    this.answer = answer;
    this.state.keep(answer);
    const count = Object.values(answer.arrays).find((a) => a.shape.length === this.state.about.axes.length + 1).shape[0];
    this.member.max = count - 1;
    if (answer.command) { this.command.textContent = answer.command; this.python.textContent = answer.python; }
    this.draw(); this.write();
  }
  /** Draw all pictures at the time that is chosen. */
  draw() {
    const {answer, state} = this;
    if (!answer) return;
    const {offset, slow, about} = state, m = Number(this.member.value);
    this.memberText.textContent = `${m + 1} of ${Number(this.member.max) + 1}`;
    for (const row of this.maps) {
      const mean = answer.arrays[`mean/${row.field}`].values, deviation = answer.arrays[`deviation/${row.field}`].values;
      const members = answer.arrays[`members/${row.field}`].values, scales = state.scales(row.field, mean, deviation);
      row.mean.draw(mean, offset, scales.field);
      row.deviation.draw(deviation, offset, scales.deviation);
      row.members.draw(members, m * mean.length + offset, scales.field);
      if (row.profile) {
        const n = slow.curve.nodes.length, sensors = state.sensors.filter((s) => s.field === row.field && s.here);
        row.profile.draw({
          mean, deviation, members, count: members.length / mean.length, scale: scales.field,
          pick: (i) => slow.start * n + i, truth: state.truth?.[row.field],
          sensors: sensors.map((s) => [s.at[about.axes.length - 1], s.value, s.sigma]),
          when: `${row.field}${slow.when}: mean, two deviations and members${state.truth ? "; orange, the sample that sensors read" : ""}`,
        });
      }
    }
    this.mark();
  }
  mark() {
    const {sensors, leading} = this.state;
    for (const row of this.maps) {
      const own = sensors.map((sensor, i) => ({sensor, number: i + 1})).filter(({sensor}) => sensor.field === row.field);
      row.mean.mark(own, {leading, live: true});
      row.deviation.mark(own, {leading, live: false});
    }
  }
  turn() { for (const row of this.maps) for (const kind of ["mean", "deviation", "members"]) row[kind].again(); this.mark(); }
  write() {
    const {answer, state} = this, rows = [];
    if (answer.seen) rows.push(["misfit, mean square in sigmas", number(answer.misfit)], ["PDE error, normalised", number(answer.residual, 2)], ["network calls a member", String(answer.calls)]);
    for (const row of this.maps) {
      const mean = answer.arrays[`mean/${row.field}`].values, deviation = answer.arrays[`deviation/${row.field}`].values;
      rows.push([`${row.field}: spread, mean deviation`, number(deviation.reduce((a, b) => a + b, 0) / deviation.length)]);
      const true_ = state.truth?.[row.field];
      if (true_ && answer.seen) {
        let apart = 0, size = 0;
        for (let i = 0; i < mean.length; i++) { apart += (mean[i] - true_[i]) ** 2; size += true_[i] ** 2; }
        rows.push([`${row.field}: error of the mean to the sample`, `${number(100 * Math.sqrt(apart / (size || 1)), 2)} %`]);
      }
    }
    for (const [name, own] of Object.entries(answer.params)) rows.push([name, `${number(own.mean)} ± ${number(own.deviation, 2)}`]);
    for (const [name, own] of Object.entries(answer.quantities)) rows.push([name, `${number(own.mean)} ± ${number(own.deviation, 2)}; 90 %: ${own.interval.map((v) => number(v)).join(" to ")}`]);
    this.table.replaceChildren(...rows.flatMap(([k, v]) => [make("dt", {}, k), make("dd", {}, v)]));
  }
  async file(kind) {
    try {
      const question = this.question();
      save(await ask("download", {subject: question.subject, question: {...question, page: "p"}, kind}, {raw: true}), `solution.${kind}`);
    } catch (error) { if (!(error instanceof Superseded)) this.tell("error", error.message); }
  }
}

/** Scales of a field: those of the law, widened where a sample goes beyond them. */
export function scalesOf(samples, deviation) {
  return {field: scale(samples, "field"), deviation: scale(deviation, "deviation")};
}
