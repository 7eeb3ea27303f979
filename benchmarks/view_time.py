"""How fast the page of ``piddm view`` answers, measured in a headless Chromium.

    python benchmarks/view_time.py [darcy-64 ...]

prints, for each model, the seconds from the command to the first picture (a sample on its canvas)
and, over MOVES moves of a sensor by the keyboard, the median milliseconds until the draft and until
the answer of 16 members are drawn, with the least in brackets: other work on the machine can only
add to it; then the server's own processor time for a move, draft and answer together (Linux). The
server has one thread. Needs the extras ``view`` and
``test``, and a Chromium.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

MOVES = 12
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
DONE = "[data-panel=a][data-state=answer]"


def processor_ms(process: int) -> float:
    """Milliseconds that a process has had of a processor."""
    ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return 1000 * sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def measured(model: str, browser) -> tuple[float, float, list[float], list[float]]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "piddm", "view", "--model", model, "--no-browser"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(240_000)
            assert server.stdout is not None
            page.goto(server.stdout.readline().strip())
            page.wait_for_selector("#samples .frame > canvas")
            first = time.perf_counter() - began
            page.wait_for_selector(DONE)
            page.click("#add")
            page.wait_for_function(
                "() => document.querySelector('[data-panel=a] .says').textContent.includes('for 1')"
            )
            drafts, answers, before = [], [], processor_ms(server.pid)
            for k in range(MOVES):
                page.evaluate("document.querySelector('[data-panel=a]').dataset.state = 'asked'")
                page.locator("[data-panel=a] button.marker").first.press(
                    "ArrowLeft" if k % 4 < 2 else "ArrowDown"
                )
                page.wait_for_selector(DONE)
                found = page.locator("[data-panel=a]").evaluate(
                    "e => [e.dataset.draftMs, e.dataset.ms]"
                )
                drafts.append(float(found[0]))
                answers.append(float(found[1]))
            each = (processor_ms(server.pid) - before) / MOVES
            page.close()
        finally:
            server.terminate()
    return first, each, drafts, answers


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    print("| model | first picture, s | new mean, ms | 16 members, ms | server, ms |")
    print("|---|---|---|---|---|")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for model in sys.argv[1:] or ["darcy-64", "burgers-64", "poisson-64"]:
            first, each, *moves = measured(model, browser)
            told = (f"{statistics.median(ms):.0f} ({min(ms):.0f})" for ms in moves)
            print(f"| {model} | {first:.1f} | {' | '.join(told)} | {each:.0f} |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
