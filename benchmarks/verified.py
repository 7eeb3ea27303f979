"""Write docs/verified.md: what each check protects from, and what it says of every equation.

    python benchmarks/catalogue.py --no-figures   # measures the built-in equations
    python benchmarks/verified.py                 # runs all checks on faulty ones, writes the page

Numbers of the built-in equations are those in docs/equations.json; nothing is written by hand.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from catalogue_pages import table
from faulty import FAULTS

from piddm.verification import verify
from piddm.verification.protection import PROTECTS

HEAD = """# Verified

The faults that `piddm verify` protects from, and its results on every built-in equation and on
equations with a fault that people have met. Written by `python benchmarks/verified.py`; the numbers
of each equation are on its page, linked from its name.

## The checks, on {count} built-in equations
"""

FAULTY = """
## Equations with a fault, and the same without

Fifteen small equations (`benchmarks/faulty.py`) under all checks: the fault of each, and the checks
that find it. [What the schemes can and cannot do](schemes.md) gives the reasons and the remedies.
"""

LONGEST = 240
"""Letters of what a check says, at most."""


def checks_table(results: list[dict[str, Any]]) -> str:
    """Return a row for each check: what it protects from, and its outcomes."""
    rows = []
    for name, protects in PROTECTS.items():
        found = Counter(r["checks"].get(name, {}).get("verdict", "-") for r in results)
        outcome = f"{found['passed']} passed"
        for verdict in ("warning", "FAILED"):
            named = [
                r["name"] for r in results if r["checks"].get(name, {}).get("verdict") == verdict
            ]
            if named:
                outcome += f", {verdict}: {', '.join(named)}"
        outcome += f", nothing to check: {found['-']}" if found["-"] else ""
        rows.append([name.replace("_", " "), protects, outcome])
    return table(["check", "protects from", "result"], rows)


def equations_table(results: list[dict[str, Any]]) -> str:
    """Return a row for each equation: verdicts, and what is warned of."""
    rows = []
    for r in results:
        found = Counter(c["verdict"] for c in r["checks"].values())
        said = [
            f"{k.replace('_', ' ')}: {c['detail'][:LONGEST]}"
            for k, c in r["checks"].items() if c["verdict"] in ("warning", "FAILED")
        ]  # fmt: skip
        rows.append([
            f"[{r['name']}](equations/{r['name']}.md)", str(found["passed"]),
            str(found["-"]), "; ".join(said) or "", f"{r['seconds']:.0f}",
        ])  # fmt: skip
    return table(["equation", "passed", "nothing to check", "warned of, or failed", "s"], rows)


def faulty_table(found: list[dict[str, Any]]) -> str:
    """Return a row for each faulty equation; checks that say the same stand together."""
    rows = []
    for r in found:
        together: dict[tuple[str, str], list[str]] = {}
        for name, verdict, detail in r["said"]:
            together.setdefault((verdict, detail), []).append(name.replace("_", " "))
        said = [f"**{', '.join(k)}**, {v}: {d}" for (v, d), k in together.items()]
        none = f"all {r['passed']} checks that apply pass"
        rows.append([r["name"], r["fault"], "<br>".join(said) or none])
    return table(["equation", "fault", "what verify says"], rows)


def measure(only: list[str], known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run all checks on faulty equations; those that are not asked for stay as they are known."""
    out = []
    for pde, fault in FAULTS:
        if only and pde.name not in only:
            out += [{**r, "fault": fault} for r in known if r["name"] == pde.name]
            continue
        began = time.perf_counter()
        checks = verify(pde).checks
        said = [
            (c.name, c.verdict, _short(c.detail))
            for c in checks
            if c.verdict in ("warning", "FAILED")
        ]
        passed = sum(c.verdict == "passed" for c in checks)
        out.append({"name": pde.name, "fault": fault, "said": said, "passed": passed})
        print(f"{pde.name:<20}{time.perf_counter() - began:6.1f} s  {said}", flush=True)
    return out


def _short(text: str) -> str:
    plain = " ".join(text.replace("|", "∣").split())
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/verified.md"))
    parser.add_argument("--equations", type=Path, default=Path("docs/equations.json"))
    parser.add_argument("--json", type=Path, default=Path("docs/verified.json"))
    parser.add_argument("--only", nargs="+", default=[], help="measure these faulty ones only")
    parser.add_argument("--page-only", action="store_true", help="measure nothing anew")
    options = parser.parse_args()
    report = json.loads(options.equations.read_text())
    results = sorted(report["equations"], key=lambda r: r["name"])
    known = json.loads(options.json.read_text()) if options.json.exists() else []
    found = known if options.page_only else measure(options.only, known)
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    parts = [HEAD.format(count=len(results)), checks_table(results), "\n\n## The equations\n",
             equations_table(results), FAULTY, faulty_table(found)]  # fmt: skip
    options.out.write_text("\n".join(parts) + f"\n\nMeasured on: {report['machine']}.\n")


if __name__ == "__main__":
    main()
