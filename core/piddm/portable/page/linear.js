// The linear part of a student: its colour S, what sensors see of it, and the steps of a search.
// As piddm.data.colour and piddm.solvers._linear_part, which say why.

export class Colour {
  /** numbers: components (rank by size), strengths; spectrum and bases where there is a rest. */
  constructor(numbers, [height, width]) {
    Object.assign(this, numbers);
    this.height = height; this.width = width; this.size = numbers.mean.length;
    this.rank = numbers.strengths.length;
  }
  amplitudes(x) {
    const found = new Float32Array(this.rank), {components: u, size} = this;
    for (let k = 0; k < this.rank; k++) { let sum = 0; for (let i = 0, at = k * size; i < size; i++) sum += u[at + i] * x[i]; found[k] = sum; }
    return found;
  }
  spread(z) {
    const found = new Float32Array(this.size), {components: u, size} = this;
    for (let k = 0; k < this.rank; k++) { const v = z[k]; if (v) for (let i = 0, at = k * size; i < size; i++) found[i] += v * u[at + i]; }
    return found;
  }
  /** What the components do not hold, mode by mode; a symmetric map. */
  rest(x) {
    const {height: h, width: w, spectrum, basis_0: a, basis_1: b} = this, out = new Float32Array(this.size);
    for (let c = 0; c * h * w < this.size; c++) {
      const at = c * h * w, one = x.subarray(at, at + h * w), left = a.subarray(c * h * h, (c + 1) * h * h), right = b.subarray(c * w * w, (c + 1) * w * w);
      const modes = product(product(left, one, h, h, w, true, false), right, h, w, w, false, false);
      for (let i = 0; i < modes.length; i++) modes[i] *= spectrum[at + i];
      out.set(product(product(left, modes, h, h, w, false, false), right, h, w, w, false, true), at);
    }
    return out;
  }
  /** S applied to white noise, or its adjoint to what sensors see. */
  apply(x, adjoint = false) {
    const z = this.amplitudes(x), strong = this.spread(z.map((v, k) => v * this.strengths[k]));
    if (!this.spectrum) return strong;
    let weak;
    if (adjoint) { const all = this.rest(x), held = this.spread(this.amplitudes(all)); weak = all.map((v, i) => v - held[i]); }
    else { const held = this.spread(z); weak = this.rest(x.map((v, i) => v - held[i])); }
    return strong.map((v, i) => v + weak[i]);
  }
}

function product(a, b, rows, inner, columns, turnA, turnB) {
  const out = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let k = 0; k < inner; k++) {
    const v = turnA ? a[k * rows + i] : a[i * inner + k];
    for (let j = 0; j < columns; j++) out[i * columns + j] += v * (turnB ? b[j * inner + k] : b[k * columns + j]);
  }
  return out;
}

export const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };

/** The solution of a symmetric, positive definite system, given as rows. */
export function solved(matrix, right) {
  const n = right.length, l = matrix.map((row) => Float64Array.from(row)), x = Float64Array.from(right);
  for (let j = 0; j < n; j++) {
    for (let k = 0; k < j; k++) for (let i = j; i < n; i++) l[i][j] -= l[i][k] * l[j][k];
    const root = Math.sqrt(Math.max(l[j][j], 1e-300));
    for (let i = j; i < n; i++) l[i][j] /= root;
  }
  for (let i = 0; i < n; i++) { for (let k = 0; k < i; k++) x[i] -= l[i][k] * x[k]; x[i] /= l[i][i]; }
  for (let i = n - 1; i >= 0; i--) { for (let k = i + 1; k < n; k++) x[i] -= l[k][i] * x[k]; x[i] /= l[i][i]; }
  return x;
}

export class LinearPart {
  /** rows: J, what each sensor sees of the noise, over its sigma. */
  constructor(rows) {
    this.rows = rows;
    this.inner = rows.map((a, i) => rows.map((b, j) => dot(a, b) + (i === j ? 1 : 0)));
  }
  lift(v) {
    const found = new Float32Array(this.rows.length ? this.rows[0].length : 0), x = solved(this.inner, v);
    this.rows.forEach((row, k) => { for (let i = 0; i < row.length; i++) found[i] += x[k] * row[i]; });
    return found;
  }
  /** By how much Gauss and Newton move noise. */
  step(noise, anchor, missing) {
    const away = noise.map((v, i) => v - anchor[i]);
    const lifted = this.lift(missing.map((v, k) => v + dot(this.rows[k], away)));
    return lifted.map((v, i) => v - away[i]);
  }
}

/** The best noise found by so many calls, and its sample; see() gives the sample and what is seen. */
export async function conditioned(see, linear, anchor, target, rounds) {
  const lacks = (seen) => target.map((v, k) => v - seen[k]);
  const energy = (noise, missing) => 0.5 * (dot(missing, missing) + noise.reduce((sum, v, i) => sum + (v - anchor[i]) ** 2, 0));
  let noise = anchor, {sample, seen} = await see(noise), missing = lacks(seen);
  let best = {sample, energy: energy(noise, missing)};
  const places = [], steps = [];
  for (let round = 1; round < rounds && target.length; round++) {
    places.push(noise); steps.push(linear.step(noise, anchor, missing));
    noise = mixed(places, steps);
    ({sample, seen} = await see(noise)); missing = lacks(seen);
    const now = energy(noise, missing);
    if (now < best.energy) best = {sample, energy: now};
  }
  return best.sample;
}

/** Anderson's acceleration: the next place, by all steps so far. */
function mixed(places, steps) {
  const last = steps.length - 1, next = places[last].map((v, i) => v + steps[last][i]);
  if (!last) return next;
  const minus = (a, b) => a.map((v, i) => v - b[i]);
  const change = steps.slice(1).map((s, k) => minus(s, steps[k])), moved = places.slice(1).map((p, k) => minus(p, places[k]));
  const normal = change.map((a) => change.map((b) => dot(a, b)));
  const floor = 1e-6 * normal.reduce((sum, row, k) => sum + row[k], 0) + 1e-30;
  normal.forEach((row, k) => { row[k] += floor; });
  const share = solved(normal, change.map((a) => dot(a, steps[last])));
  share.forEach((g, k) => { for (let i = 0; i < next.length; i++) next[i] -= g * (moved[k][i] + change[k][i]); });
  return next;
}
