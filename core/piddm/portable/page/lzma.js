// LZMA, unpacked: the decoder of the format's own specification (Pavlov, public domain).

/** The bytes of an .lzma file whose content has so many. */
export function unpacked(data, size) {
  const lc = data[0] % 9, rest = (data[0] - lc) / 9, lp = rest % 5, pb = (rest - lp) / 5;
  const out = new Uint8Array(size), half = (n) => new Uint16Array(n).fill(1024);
  let at = 14, range = 0xffffffff, code = 0, written = 0, state = 0;
  for (let i = 0; i < 4; i++) code = ((code << 8) | data[at++]) >>> 0;
  const follow = () => { if (range < 0x1000000) { range = (range << 8) >>> 0; code = ((code << 8) | data[at++]) >>> 0; } };
  const bit = (p, i) => {
    const bound = (range >>> 11) * p[i];
    if (code < bound) { range = bound; p[i] += (2048 - p[i]) >> 5; follow(); return 0; }
    range -= bound; code -= bound; p[i] -= p[i] >> 5; follow(); return 1;
  };
  const tree = (p, start, bits) => { let m = 1; for (let i = 0; i < bits; i++) m = 2 * m + bit(p, start + m); return m - (1 << bits); };
  const turned = (p, start, bits) => {
    let m = 1, found = 0;
    for (let i = 0; i < bits; i++) { const b = bit(p, start + m); m = 2 * m + b; found |= b << i; }
    return found;
  };
  const lengths = () => ({choice: half(2), low: half(16 << 3), mid: half(16 << 3), high: half(256)});
  const length = (l, place) => {
    if (!bit(l.choice, 0)) return tree(l.low, place << 3, 3);
    return bit(l.choice, 1) ? 16 + tree(l.high, 0, 8) : 8 + tree(l.mid, place << 3, 3);
  };
  const literal = half(0x300 << (lc + lp)), match = half(12 << 4), rep = half(12), rep0 = half(12), rep1 = half(12), rep2 = half(12);
  const rep0long = half(12 << 4), slot = half(4 << 6), far = half(115), align = half(16), plain = lengths(), repeated = lengths();
  let r0 = 0, r1 = 0, r2 = 0, r3 = 0;
  while (written < size) {
    const place = written & ((1 << pb) - 1);
    if (!bit(match, (state << 4) + place)) {
      const before = written ? out[written - 1] : 0;
      const base = 0x300 * (((written & ((1 << lp) - 1)) << lc) + (before >> (8 - lc)));
      let symbol = 1;
      if (state >= 7) {
        let other = out[written - r0 - 1];
        do {
          const b = (other >> 7) & 1; other <<= 1;
          const found = bit(literal, base + ((1 + b) << 8) + symbol);
          symbol = 2 * symbol + found;
          if (b !== found) break;
        } while (symbol < 0x100);
      }
      while (symbol < 0x100) symbol = 2 * symbol + bit(literal, base + symbol);
      out[written++] = symbol;
      state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    let count;
    if (bit(rep, state)) {
      if (!bit(rep0, state)) {
        if (!bit(rep0long, (state << 4) + place)) { state = state < 7 ? 9 : 11; out[written] = out[written - r0 - 1]; written++; continue; }
      } else {
        let found;
        if (!bit(rep1, state)) found = r1;
        else { if (!bit(rep2, state)) found = r2; else { found = r3; r3 = r2; } r2 = r1; }
        r1 = r0; r0 = found;
      }
      count = length(repeated, place); state = state < 7 ? 8 : 11;
    } else {
      r3 = r2; r2 = r1; r1 = r0;
      count = length(plain, place); state = state < 7 ? 7 : 10;
      const kind = tree(slot, Math.min(count, 3) << 6, 6);
      r0 = kind;
      if (kind >= 4) {
        const bits = (kind >> 1) - 1, base = (2 | (kind & 1)) << bits;
        if (kind < 14) r0 = base + turned(far, base - kind, bits);
        else {
          let found = 0;
          for (let i = bits - 4; i > 0; i--) {
            range >>>= 1;
            const b = code >= range ? 1 : 0;
            if (b) code -= range;
            follow(); found = 2 * found + b;
          }
          r0 = (((2 | (kind & 1)) << bits) >>> 0) + found * 16 + turned(align, 0, 4);
        }
        if (r0 >= 0xffffffff) break;  // the end's mark
      }
    }
    if (r0 >= written) throw new Error("the page's file is damaged");
    for (count += 2; count && written < size; count--, written++) out[written] = out[written - r0 - 1];
  }
  return out;
}
