// The network: unpacked from this file, and run by ONNX Runtime in WebAssembly.
import {unpacked} from "./lzma.js";
import {Colour} from "./linear.js";

const bytes = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));

function halves(high, low) {
  const table = new Float32Array(65536);
  for (let i = 0; i < 65536; i++) {
    const e = (i >> 10) & 31, f = i & 1023, v = e ? (1 + f / 1024) * 2 ** (e - 15) : f * 2 ** -24;
    table[i] = i & 32768 ? -v : v;
  }
  return Float32Array.from(high, (h, i) => table[(h << 8) | low[i]]);
}

/** White noise of a seed: mulberry32, and Box and Muller. */
export function white(size, seed) {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
  return Float32Array.from({length: size}, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

export class Network {
  static async open(about) {
    const {skeleton, places, copies, halves: count, arrays, exact, sizes, image} = about;
    const data = unpacked(bytes("data"), sizes.data);
    const graph = data.slice(0, skeleton);
    const numbers = halves(data.subarray(skeleton, skeleton + count), data.subarray(skeleton + count, skeleton + 2 * count));
    let at = 0;
    for (const [place, length] of places) { graph.set(new Uint8Array(numbers.slice(at, at + length).buffer), place); at += length; }
    const found = {}, floats = new Float32Array(data.slice(skeleton + 2 * count).buffer);
    for (const [name, length] of Object.entries(arrays)) { found[name] = numbers.slice(at, at + length); at += length; }
    for (const [place, rows, columns, down, across, first] of copies) {
      const own = new Float32Array(rows * columns);
      for (let i = 0; i < own.length; i++) own[i] = found.components[first + Math.floor(i / columns) * down + (i % columns) * across];
      graph.set(new Uint8Array(own.buffer), place);
    }
    at = 0;
    for (const [name, length] of Object.entries(exact)) { found[name] = floats.slice(at, at + length); at += length; }
    const module = new Blob([unpacked(bytes("runtime"), sizes.runtime)], {type: "application/wasm"});
    const {env, InferenceSession} = globalThis.ort, address = URL.createObjectURL(module);
    env.wasm.numThreads = 1;
    env.wasm.wasmPaths = {"ort-wasm-simd.wasm": address};
    const session = await InferenceSession.create(graph, {executionProviders: ["wasm"]});
    URL.revokeObjectURL(address);
    return Object.assign(new Network(), {session, colour: new Colour(found, image), shape: [1, about.fields.length, ...image], size: found.mean.length});
  }
  /** A packed sample of white noise. */
  async sample(noise) {
    const given = new globalThis.ort.Tensor("float32", this.colour.apply(noise), this.shape);
    return (await this.session.run({coloured: given})).sample.data;
  }
}
