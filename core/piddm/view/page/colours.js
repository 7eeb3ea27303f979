// Colours of values: matplotlib's viridis and magma (CC0), and ColorBrewer's RdBu (Apache 2.0).
// Each is 33 colours, between which it is linear.
const POINTS = {
  viridis:
    "440154470d6048186a482374472d7b4537814240863e49893b528b375b8d33638d2f6b8e2c728e297a8e" +
    "26828e23898e21918c1f988b1fa08822a78528ae8032b67a3fbc734ec36b5ec96270cf5784d44b98d83e" +
    "addc30c2df23d8e219ece51bfde725",
  RdBu_r:
    "0530610e41791752901f63a82a71b23480b93f8ec0529dc86bacd184bcd99bc9e0aed3e6c2ddecd4e6f1" +
    "e0ecf3ecf2f5f7f6f6f9eee7fbe5d8fddcc9fbccb4f8bb9ef5aa89ee9677e48066db6b55d05548c53e3d" +
    "ba2832ab162a930e267c072267001f",
  magma:
    "0000040303120a0822130d341d114729115a36106b440f7651127c5d177f6a1c81762181832681902a81" +
    "9c2e7faa337db73779c43c75d0416fdc4869e75263ef5d5ef56b5cf9795dfc8961fd9869fea772feb67c" +
    "fec488fed395fde2a3fcf0b2fcfdbf",
};

/** A table of 256 colours, four bytes each. */
export const TABLES = Object.fromEntries(Object.entries(POINTS).map(([name, text]) => {
  const ends = Array.from({length: 33}, (_, i) =>
    [0, 2, 4].map((k) => parseInt(text.slice(6 * i + k, 6 * i + k + 2), 16)));
  const table = new Uint8ClampedArray(1024);
  for (let i = 0; i < 256; i++) {
    const at = i * 32 / 255, low = Math.min(31, Math.floor(at)), share = at - low;
    for (let k = 0; k < 3; k++) table[4 * i + k] = ends[low][k] * (1 - share) + ends[low + 1][k] * share;
    table[4 * i + 3] = 255;
  }
  return [name, table];
}));

/** A scale of colours: ends, table, and whether it is of powers of ten. */
export function scale(values, kind) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v) && (kind !== "residual" || v > 0)) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (!(high >= low)) { low = 0; high = 1; }
  if (kind === "residual") return {low: Math.max(low, high * 1e-6), high: high || 1, table: "magma", log: true};
  if (kind === "deviation") return {low: 0, high: high || 1, table: "magma"};
  const both = Math.min(-low, high) > 0.1 * Math.max(-low, high);
  if (both) { high = Math.max(-low, high); low = -high; }
  if (high === low) high = low + (Math.abs(low) || 1);
  return {low, high, table: both ? "RdBu_r" : "viridis"};
}

/** Draw a scale as a horizontal bar. */
export function bar(canvas, {table}) {
  canvas.width = 256; canvas.height = 1;
  canvas.getContext("2d").putImageData(new ImageData(TABLES[table].slice(), 256, 1), 0, 0);
}

/** A number as people read it. */
export function number(v, digits = 3) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  return size !== 0 && (size >= 1e5 || size < 1e-3) ? v.toExponential(Math.max(0, digits - 2)) : String(+v.toPrecision(digits));
}
