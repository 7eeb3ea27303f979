// A curve along the axis of space at one time: members thin, mean thick, two deviations shaded.
import {make} from "./map.js";
import {number} from "./colours.js";

const W = 640, H = 150, PAD = 34;

export class Profile {
  constructor(title, axis) {
    this.axis = axis;
    this.canvas = make("canvas", {role: "img", "aria-label": title, width: 2 * W, height: 2 * H});
    this.caption = make("figcaption", {}, title);
    this.element = make("figure", {class: "profile"}, this.caption, this.canvas);
  }
  /** pick(values, i) is the value of node i; sensors are [coordinate, value, sigma]. */
  draw({mean, deviation, members, count, pick, scale, sensors, truth, when}) {
    const context = this.canvas.getContext("2d"), style = getComputedStyle(this.canvas), n = this.axis.nodes.length;
    const ink = style.color, accent = style.outlineColor, warm = style.borderTopColor; // resolved, for light or dark
    context.setTransform(2, 0, 0, 2, 0, 0);
    context.clearRect(0, 0, W, H);
    const {lower, upper, nodes} = this.axis, size = scale.high - scale.low, low = scale.low - 0.08 * size, high = scale.high + 0.08 * size;
    const x = (v) => PAD + (W - PAD - 8) * (v - lower) / (upper - lower);
    const y = (v) => 6 + (H - 24) * (1 - (v - low) / (high - low));
    const line = (values, start, colour, width, alpha) => {
      context.beginPath();
      for (let i = 0; i < n; i++) context.lineTo(x(nodes[i]), y(values[start + pick(i)]));
      context.strokeStyle = colour; context.lineWidth = width; context.globalAlpha = alpha; context.stroke(); context.globalAlpha = 1;
    };
    context.font = "10px system-ui"; context.fillStyle = ink; context.globalAlpha = 0.75; context.textAlign = "right";
    for (const v of [scale.low, scale.high]) context.fillText(number(v), PAD - 4, y(v) + 3);
    context.textAlign = "left"; context.fillText(number(lower), PAD, H - 4);
    context.textAlign = "right"; context.fillText(`${this.axis.name} ${number(upper)}`, W - 8, H - 4);
    context.globalAlpha = 0.16; context.fillStyle = accent; context.beginPath();
    for (let i = 0; i < n; i++) context.lineTo(x(nodes[i]), y(mean[pick(i)] + 2 * deviation[pick(i)]));
    for (let i = n - 1; i >= 0; i--) context.lineTo(x(nodes[i]), y(mean[pick(i)] - 2 * deviation[pick(i)]));
    context.fill(); context.globalAlpha = 1;
    for (let m = 0; m < count; m++) line(members, m * mean.length, accent, 0.7, 0.35);
    if (truth) line(truth, 0, warm, 1.4, 0.9);
    line(mean, 0, accent, 2.2, 1);
    context.strokeStyle = ink; context.fillStyle = ink;
    for (const [at, value, sigma] of sensors) {
      context.beginPath(); context.moveTo(x(at), y(value - 2 * sigma)); context.lineTo(x(at), y(value + 2 * sigma)); context.lineWidth = 1; context.stroke();
      context.beginPath(); context.arc(x(at), y(value), 3.2, 0, 7); context.fill();
    }
    this.caption.textContent = when;
  }
}
