// Requests: JSON there, JSON or a packet back. The address of this page has the token.
export const page = "p" + Array.from(crypto.getRandomValues(new Uint32Array(2)), (v) => v.toString(36)).join("");

export class Superseded extends Error {}

/** Return the arrays of a packet by name, and its header: see packets.py. */
function unpacked(buffer) {
  const size = new DataView(buffer).getUint32(0, true), base = 4 + size;
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const arrays = {};
  for (const {name, type, shape, start, low, high} of header.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    let values;
    if (type === "f4") values = new Float32Array(buffer, base + start, count);
    else {
      const levels = new Uint8Array(buffer, base + start, count);
      values = Float32Array.from(levels, (v) => low + (high - low) * v / 255);
    }
    arrays[name] = {values, shape};
  }
  return {...header, arrays};
}

async function failure(response) {
  let text = `the server answered ${response.status}`;
  try { text = (await response.json()).error ?? text; } catch { /* not JSON */ }
  return response.status === 409 ? new Superseded() : new Error(text);
}

/** Ask the server. */
export async function ask(name, body, {signal, raw} = {}) {
  let response;
  try {
    response = await fetch(`api/${name}`, {
      method: "POST", signal, body: JSON.stringify({page, ...body}),
    });
  } catch (error) {
    if (error.name === "AbortError") throw new Superseded();
    throw new Error("piddm view does not answer: was it ended? Start it again and open its new address");
  }
  if (!response.ok) throw await failure(response);
  if (raw) return response.blob();
  return response.headers.get("content-type").includes("json") ? response.json() : unpacked(await response.arrayBuffer());
}

export async function get(name, query = {}) {
  const response = await fetch(`api/${name}?${new URLSearchParams({page, ...query})}`);
  if (!response.ok) throw await failure(response);
  return response.json();
}

/** Give a file to whoever reads the page. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
