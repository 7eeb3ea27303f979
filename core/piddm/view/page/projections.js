// Where nodes are on a picture: a plane of the last two axes, a strip of one, or a globe.
export const SIZE = 256;

const near = (nodes, v) => {
  let low = 0, high = nodes.length - 1;
  while (high - low > 1) { const mid = (low + high) >> 1; if (nodes[mid] > v) high = mid; else low = mid; }
  return v - nodes[low] <= nodes[high] - v ? low : high;
};

/** Node nearest to a coordinate; across the seam of a periodic axis. */
export function node(axis, v) {
  const {nodes, lower, upper} = axis, last = nodes[nodes.length - 1];
  if (axis.periodic) {
    v = lower + ((v - lower) % (upper - lower) + upper - lower) % (upper - lower);
    if (v > last && nodes[0] + upper - lower - v < v - last) return 0;
  }
  return near(nodes, v);
}

/** Nodes about a place, each with its weight: linear along each axis. */
export function weights(axes, at) {
  let places = [[0, 1]];
  axes.forEach((axis, d) => {
    const {nodes, lower, upper, periodic} = axis, n = nodes.length;
    const v = periodic ? lower + ((at[d] - lower) % (upper - lower) + upper - lower) % (upper - lower) : at[d];
    let low = 0;
    while (low < n - 1 && nodes[low + 1] <= v) low++;
    if (!periodic) low = Math.min(low, n - 2);
    const next = (low + 1) % n, step = (next ? nodes[next] : nodes[0] + upper - lower) - nodes[low];
    const share = n < 2 ? 0 : Math.min(1, Math.max(0, (v - nodes[low]) / step));
    places = places.flatMap(([i, w]) => [[i * n + low, w * (1 - share)], [i * n + next, w * share]]);
  });
  return places.filter(([, w]) => w);
}

/** Value between nodes. */
export const between = (values, axes, at) => weights(axes, at).reduce((sum, [i, w]) => sum + w * values[i], 0);

export class Plane {
  constructor(axes) {
    this.strip = axes.length === 1;
    [this.across, this.up] = this.strip ? [axes[0], {nodes: [0], lower: 0, upper: 1}] : axes.slice(-2);
    const row = new Int32Array(SIZE), column = new Int32Array(SIZE);
    for (let i = 0; i < SIZE; i++) {
      const share = (i + 0.5) / SIZE, {across: a, up: b} = this;
      column[i] = node(a, a.lower + share * (a.upper - a.lower));
      row[i] = this.strip ? 0 : node(b, b.upper - share * (b.upper - b.lower));
    }
    this.index = new Int32Array(SIZE * SIZE);
    for (let y = 0; y < SIZE; y++) for (let x = 0; x < SIZE; x++)
      this.index[y * SIZE + x] = column[x] * this.up.nodes.length + row[y];
    const ratio = (this.up.upper - this.up.lower) / (this.across.upper - this.across.lower);
    this.ratio = this.strip ? 0.2 : this.across.time || this.up.time ? 1 : Math.min(2, Math.max(0.4, ratio));
  }
  toScreen(at) {
    const a = this.across, b = this.up;
    const x = (at[0] - a.lower) / (a.upper - a.lower);
    return [x, this.strip ? 0.5 : 1 - (at[1] - b.lower) / (b.upper - b.lower), true];
  }
  fromScreen(x, y) {
    const a = this.across, b = this.up, hold = (v) => Math.min(1, Math.max(0, v));
    const first = a.lower + hold(x) * (a.upper - a.lower);
    return this.strip ? [first] : [first, b.upper - hold(y) * (b.upper - b.lower)];
  }
}

/** A sphere seen from far away; latitude and longitude of what is in its middle can be turned. */
export class Globe {
  constructor(axes) {
    [this.lat, this.lon] = axes.slice(-2);
    this.ratio = 1;
    this.turn(0.35, 0.6);
  }
  turn(lat, lon) {
    this.at = [Math.max(-1.5, Math.min(1.5, lat)), lon];
    const n = this.lon.nodes.length;
    this.index = new Int32Array(SIZE * SIZE);
    for (let y = 0; y < SIZE; y++) for (let x = 0; x < SIZE; x++) {
      const at = this.fromScreen((x + 0.5) / SIZE, (y + 0.5) / SIZE);
      this.index[y * SIZE + x] = at ? node(this.lat, at[0]) * n + node(this.lon, at[1]) : -1;
    }
  }
  fromScreen(fx, fy) {
    const x = 2.04 * fx - 1.02, y = 1.02 - 2.04 * fy, rho = x * x + y * y;
    if (rho > 1) return null;
    const z = Math.sqrt(1 - rho), [lat, lon] = this.at, s = Math.sin(lat), c = Math.cos(lat);
    const east = Math.atan2(x, z * c - y * s);
    return [Math.asin(Math.max(-1, Math.min(1, y * c + z * s))), ((lon + east) % (2 * Math.PI) + 2 * Math.PI) % (2 * Math.PI)];
  }
  toScreen([lat, lon]) {
    const [a, b] = this.at, east = lon - b;
    const x = Math.cos(lat) * Math.sin(east);
    const y = Math.cos(a) * Math.sin(lat) - Math.sin(a) * Math.cos(lat) * Math.cos(east);
    const z = Math.sin(a) * Math.sin(lat) + Math.cos(a) * Math.cos(lat) * Math.cos(east);
    return [(x + 1.02) / 2.04, (1.02 - y) / 2.04, z > 0];
  }
}
