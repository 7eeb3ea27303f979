// Samples: as the student draws them, corrected, and how far both are from the equation.
import {Superseded, ask} from "./net.js";
import {number, scale} from "./colours.js";
import {Picture, make} from "./map.js";

export class Samples {
  constructor(state, shown) {
    this.state = state; this.shown = shown; this.seed = 0;
    this.says = make("p", {class: "says", role: "status"});
    this.grid = make("div", {class: "grid wide"});
    this.command = make("pre", {tabindex: 0, "aria-label": "Command line of the samples"});
    const step = (by) => () => { this.seed = Math.max(0, this.seed + by); this.ask(); };
    this.input = make("output", {}, "0");
    this.element = make("div", {},
      make("div", {class: "tools"},
        make("button", {type: "button", onclick: step(-1)}, "Previous sample"), make("span", {}, "seed ", this.input),
        make("button", {type: "button", onclick: step(1)}, "Next sample")),
      this.says, this.grid, make("details", {}, make("summary", {}, "The command line that gives this"), this.command));
  }
  async ask() {
    this.input.textContent = this.seed;
    const body = {subject: this.state.subject, seed: this.seed, count: 1};
    try {
      this.says.textContent = "Drawing …";
      if (!this.made) this.draw(await ask("samples", {...body, corrected: false}));
      this.draw(await ask("samples", {...body, corrected: true}));
    } catch (error) { if (!(error instanceof Superseded)) this.says.textContent = error.message; }
  }
  draw(found) {
    this.found = found;
    this.command.textContent = found.command;
    const {about} = this.state, titles = [];
    for (const [when, title] of [["sample", "as drawn"], ["corrected", "corrected"]])
      for (const field of about.fields) if (found.arrays[`${when}/${field.name}`]) titles.push([`${when}/${field.name}`, `${field.name}, ${title}`, field.name]);
    for (const [when, title] of [["before", "as drawn"], ["after", "corrected"]])
      for (const row of found.rows) if (found.arrays[`${when}/${row}`]) titles.push([`${when}/${row}`, `|residual| of ${row}, ${title}`, ""]);
    const key = titles.map((t) => t[0]).join();
    if (key !== this.key) {
      this.key = key; this.made = [];
      for (const [name, title, field] of titles) {
        const picture = new Picture({title, label: title, axes: about.axes, projection: this.state.projection, handlers: {turned: this.shown.turned}});
        this.made.push({picture, name, field});
      }
      this.grid.replaceChildren(...this.made.map((m) => m.picture.element));
    }
    const errors = found.errors;
    this.says.textContent = !errors ? "Drawn; its residual follows …" :
      `PDE error, normalised: ${number(errors.before[0], 2)} as drawn` + (errors.after ? `, ${number(errors.after[0], 2)} corrected; ${number(1000 * found.seconds, 2)} ms to draw, ${number(1000 * found.correction, 2)} ms to correct` : "");
    this.again();
    const best = errors?.after ? "corrected" : "sample";
    this.shown.drawn(Object.fromEntries(about.fields.map((f) => [f.name, found.arrays[`${best}/${f.name}`].values])), Boolean(errors));
  }
  again() {
    const {state, found} = this;
    if (!found) return;
    for (const {picture, name, field} of this.made) {
      const {values} = found.arrays[name];
      let own;
      if (field) own = state.scales(field, found.arrays[`sample/${field}`].values, [0, 1]).field;
      else { // both times on one scale, down to rounding
        const row = name.split("/")[1], all = ["before", "after"].flatMap((w) => found.arrays[`${w}/${row}`] ? [...found.arrays[`${w}/${row}`].values] : []);
        own = scale(all, "residual");
        const squares = values.filter((v) => Number.isFinite(v)).map((v) => v * v);
        picture.note.textContent = `rms ${number(Math.sqrt(squares.reduce((a, b) => a + b, 0) / (squares.length || 1)), 2)}`;
      }
      picture.draw(values, state.offset, own);
    }
  }
}
