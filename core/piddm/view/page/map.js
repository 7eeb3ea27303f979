// One picture of a field: values in colours, a legend, and markers of sensors that can be moved.
import {TABLES, bar, number} from "./colours.js";
import {SIZE} from "./projections.js";

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith("on")) element.addEventListener(k.slice(2), v);
    else if (v !== undefined && v !== null && v !== false) element.setAttribute(k, v === true ? "" : v);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
}

/** Values' colours on a canvas; what has no value shows the ground. */
export function paint(canvas, projection, values, offset, scale) {
  if (canvas.width !== SIZE) { canvas.width = SIZE; canvas.height = SIZE; }
  const context = canvas.getContext("2d"), image = context.createImageData(SIZE, SIZE);
  const colours = new Uint32Array(TABLES[scale.table].buffer), out = new Uint32Array(image.data.buffer);
  const turn = scale.log ? Math.log : (v) => v, low = turn(scale.low), size = turn(scale.high) - low || 1;
  const index = projection.index;
  for (let i = 0; i < index.length; i++) {
    const v = index[i] < 0 ? NaN : values[offset + index[i]];
    if (Number.isFinite(v)) out[i] = colours[Math.max(0, Math.min(255, Math.round(255 * (turn(Math.max(v, scale.log ? 1e-300 : v)) - low) / size)))];
  }
  context.putImageData(image, 0, 0);
}

export class Picture {
  /** handlers: place(at), move(sensor, at), drop(sensor), edit(sensor), turned(). */
  constructor({title, label, axes, projection, handlers}) {
    this.axes = axes; this.projection = projection; this.handlers = handlers; this.markers = new Map();
    this.canvas = make("canvas", {role: "img", "aria-label": label, width: SIZE, height: SIZE});
    this.over = make("div", {class: "over"});
    this.frame = make("div", {class: projection.at ? "frame globe" : "frame"}, this.canvas, this.over);
    this.frame.style.aspectRatio = String(1 / projection.ratio);
    this.bar = make("canvas", {class: "bar", "aria-hidden": "true"});
    this.low = make("span"); this.high = make("span");
    this.note = make("span", {class: "note"});
    const names = axes.slice(-2).map((a) => a.name);
    const ends = projection.at ? "drag to turn" : axes.length === 1 ? `${names[0]} →` : `${names[0]} →, ${names[1]} ↑`;
    this.element = make("figure", {class: "map"},
      make("figcaption", {}, make("span", {}, title), this.note), this.frame,
      make("div", {class: "ends"}, make("span", {}, ends)),
      make("div", {class: "legend"}, this.low, this.bar, this.high));
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
  }
  draw(values, offset, scale) {
    this.last = [values, offset, scale];
    paint(this.canvas, this.projection, values, offset, scale);
    const key = `${scale.low},${scale.high},${scale.table}`;
    if (key !== this.shown) {
      bar(this.bar, scale); this.low.textContent = number(scale.low); this.high.textContent = number(scale.high);
      this.shown = key;
    }
  }
  again() { if (this.last) this.draw(...this.last); }
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }
  press(event) {
    if (event.button) return;
    event.preventDefault();
    const begun = this.at(event), middle = this.projection.at;
    if (!middle) { this.handlers.place?.(this.projection.fromScreen(...begun)); return; }
    let moved = false;
    const move = (next) => {
      const now = this.at(next), by = [now[0] - begun[0], now[1] - begun[1]];
      if (Math.hypot(...by) > 0.02) moved = true;
      if (moved) { this.projection.turn(middle[0] + 2 * by[1], middle[1] - 2.4 * by[0]); this.handlers.turned?.(); }
    };
    const end = () => {
      removeEventListener("pointermove", move); removeEventListener("pointerup", end);
      const at = this.projection.fromScreen(...begun);
      if (!moved && at) this.handlers.place?.(at);
    };
    addEventListener("pointermove", move); addEventListener("pointerup", end);
  }
  /** Show sensors of this field: sensors' own places are their coordinates along the last axes. */
  mark(sensors, {leading, live}) {
    const kept = new Set();
    for (const {sensor, number: count} of sensors) {
      let button = this.markers.get(sensor.id);
      if (!button) {
        button = live ? make("button", {class: "marker", type: "button"}) : make("span", {class: "marker", "aria-hidden": "true"});
        this.markers.set(sensor.id, button);
        this.over.append(button);
        if (live) this.arm(button, sensor, leading);
      }
      kept.add(sensor.id);
      const [x, y, seen] = this.projection.toScreen(sensor.at.slice(leading));
      button.style.left = `${100 * x}%`; button.style.top = `${100 * y}%`;
      button.hidden = !seen;
      button.textContent = count;
      button.classList.toggle("away", !sensor.here);
      if (live) {
        const place = this.axes.map((a, d) => `${a.name} ${number(sensor.at[d])}`).join(", ");
        button.setAttribute("aria-label", `Sensor ${count}: ${sensor.field} at ${place}, value ${number(sensor.value)}. Arrow keys move it, Delete removes it.`);
      }
    }
    for (const [id, button] of this.markers) if (!kept.has(id)) { button.remove(); this.markers.delete(id); }
  }
  arm(button, sensor, leading) {
    const put = (x, y) => {
      const at = this.projection.fromScreen(x, y);
      if (at) this.handlers.move(sensor, [...sensor.at.slice(0, leading), ...at]);
    };
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault(); event.stopPropagation(); button.focus();
      button.setPointerCapture(event.pointerId);
      const move = (next) => put(...this.at(next));
      const end = () => { button.removeEventListener("pointermove", move); button.removeEventListener("pointerup", end); };
      button.addEventListener("pointermove", move); button.addEventListener("pointerup", end);
    });
    button.addEventListener("keydown", (event) => {
      const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); this.handlers.drop(sensor); }
      if (event.key === "Enter") { event.preventDefault(); this.handlers.edit(sensor); }
      if (!by) return;
      event.preventDefault();
      const step = event.shiftKey ? 0.08 : 0.0157, [x, y] = this.projection.toScreen(sensor.at.slice(leading));
      put(x + step * by[0], y + step * by[1]);
    });
  }
}
