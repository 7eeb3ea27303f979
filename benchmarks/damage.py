"""Damage to the bytes of a file, of the kinds that disks, networks, people and malice do."""

from __future__ import annotations

import random

MARKS = (b"GCOL", b"OHDR", b"FRHP", b"FHDB", b"BTHD", b"FSSE", b"OCHK", b"TREE", b"\x89HDF")
TOKENS = (b"1e999", b"-1", b"9" * 30, b"nan", b"[" * 50, b"\0", b"\xff" * 8, b"*t", b"&t", b"\n",
          b'"', b"{", b"}", b"null", b"true", b",", b"\x1b[31m", "٣".encode())  # fmt: skip


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """Return a file's bytes with some damage: bits, blocks, lengths, order, or words."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        size = len(data)
        at, length = rng.randrange(size), min(rng.choice((1, 4, 8, 64, 512)), size)
        marks = [i for i in map(data.find, MARKS) if i >= 0]
        if marks and rng.random() < 0.3:
            at = min(rng.choice(marks) + rng.randrange(64), size - 1)
        match rng.randrange(9):
            case 0 | 1:
                for _ in range(rng.choice((1, 1, 2, 8))):
                    data[rng.randrange(at, min(at + 64, len(data)))] ^= 1 << rng.randrange(8)
            case 2:
                data[at : at + length] = rng.randbytes(length)
            case 3:
                data[at : at + length] = rng.choice((b"\0", b"\xff")) * length
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length] * rng.choice((1, 2, 30))
            case 6:
                del data[at:]
            case 7:
                data[at : at + rng.choice((0, 1, 4))] = rng.choice(TOKENS)
            case 8:
                other = rng.randrange(size)
                data[at : at + length] = data[other : other + length]
    return bytes(data)
