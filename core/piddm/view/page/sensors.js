// The sensors as a table that can be edited, and as the text of a file of observations.
import {make} from "./map.js";

/** The file's text; what else a dropped file said stands as it is. */
export function csv(state) {
  const {sensors, about, extra, params} = state;
  if (extra) return extra;
  if (!sensors.length) return "";
  const header = ["field", ...about.axes.map((a) => a.name), "value", "sigma"];
  const rows = sensors.map((s) => [s.field, ...s.at, s.value, s.sigma].join(","));
  const blank = ",".repeat(about.axes.length);
  const known = Object.entries(params).map(([k, v]) => `${k}${blank},${v},`);
  return [header.join(","), ...rows, ...known].join("\n") + "\n";
}

export class Table {
  constructor(state, handlers) {
    this.state = state; this.handlers = handlers; this.rows = new Map();
    const head = ["", "field", ...state.about.axes.map((a) => a.name), "value", "sigma", ""];
    this.body = make("tbody");
    this.element = make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Sensors"},
      make("table", {}, make("thead", {}, make("tr", {}, ...head.map((t) => make(t ? "th" : "td", t ? {scope: "col"} : {}, t)))), this.body));
  }
  write() {
    const {sensors, about} = this.state;
    this.element.hidden = !sensors.length;
    const kept = new Set(sensors.map((s) => s.id));
    for (const [id, row] of this.rows) if (!kept.has(id)) { row.element.remove(); this.rows.delete(id); }
    sensors.forEach((sensor, i) => {
      let row = this.rows.get(sensor.id);
      if (!row) {
        const cells = [...about.axes.map((a, d) => [a.name, () => sensor.at[d], (v) => this.handlers.move(sensor, sensor.at.map((old, k) => k === d ? v : old))]),
          ["value", () => sensor.value, (v) => this.handlers.set(sensor, {value: v, own: true})],
          ["sigma", () => sensor.sigma, (v) => this.handlers.set(sensor, {sigma: Math.max(0, v)})]];
        row = {number: make("th", {scope: "row"}), inputs: []};
        const parts = cells.map(([name, read, write]) => {
          const input = make("input", {type: "number", step: "any", onchange: () => { if (Number.isFinite(input.valueAsNumber)) write(input.valueAsNumber); else input.value = read(); }});
          row.inputs.push([input, name, read]);
          return make("td", {}, input);
        });
        row.remove = make("button", {type: "button", onclick: () => this.handlers.drop(sensor)}, "Remove");
        row.element = make("tr", {}, row.number, make("td", {}, sensor.field), ...parts, make("td", {}, row.remove));
        this.rows.set(sensor.id, row);
        this.body.append(row.element);
      }
      row.number.textContent = i + 1;
      row.remove.setAttribute("aria-label", `Remove sensor ${i + 1}`);
      for (const [input, name, read] of row.inputs) {
        input.setAttribute("aria-label", `${name} of sensor ${i + 1}`);
        if (document.activeElement !== input) input.value = +read().toPrecision(5);
      }
    });
  }
  edit(sensor) { this.rows.get(sensor.id)?.inputs.at(-2)[0].focus(); }
}
