"""Kill one of two processes of a run at random moments, and have the same command go on.

``python benchmarks/killed_ranks.py --kills 10``; tells how soon the other ended, in how many lines,
with which code, and whether the run ended as one does that nobody killed. See kills.py for one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import kills

import several
from piddm import api
from piddm.training import optimisation


def _distil() -> None:
    words = [w for k, v in kills.TINY.items() for w in ("--set", f"{k}={v}")]
    several.command("distill", "heat", "--preset", "quick", *words)()


def kill(count: int, seed: int) -> tuple[Counter[str], list[float]]:
    """Kill so many processes; return what was seen, and the seconds until the others ended."""
    optimisation.SAVE_SECONDS = 0.0  # children are forked with it
    setattr(api, "write_report", lambda job: "")  # noqa: B010  pages take longer than the rest
    rng, seen, waited = random.Random(seed), Counter[str](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound"
        began = time.monotonic()
        assert [p.code for p in several.together(sound, _distil, _distil)] == [0, 0]
        whole = time.monotonic() - began
        expected, _ = kills._result(sound)
        while seen["killed"] < count:
            home = Path(folder) / f"home-{seen['killed']}"
            pair = several.start(home, _distil, _distil)
            time.sleep(rng.uniform(0.1, 0.95) * whole)
            victim = rng.randrange(2)
            if not all(p.is_alive() for p in pair):
                several.end(home, pair)
                continue
            pair[victim].kill()
            began = time.monotonic()
            pair[1 - victim].join(60)
            waited.append(time.monotonic() - began)
            other = several.end(home, pair, 0.1)[1 - victim]
            lines = [v for v in other.err.splitlines() if v.startswith("error: another process")]
            seen["killed"] += 1
            seen[f"process {victim}"] += 1
            seen[f"the other ended with code {other.code}"] += 1
            seen["in one line"] += len(lines) == 1
            again = several.together(home, _distil, _distil)
            seen["went on to the end"] += [p.code for p in again] == [0, 0]
            seen["with the result of a whole run, to the bit"] += kills._result(home)[0] == expected
            print(seen["killed"], f"process {victim}", f"{waited[-1]:.1f} s", flush=True)
    return seen, waited


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    seen, waited = kill(chosen.kills, chosen.seed)
    print("\n".join(f"{n:4d} {name}" for name, n in seen.items()))
    print(f"the other ended after {statistics.median(waited):.1f} s, {max(waited):.1f} s at most")
