"""The page in a real Chromium: sensors are placed, picture and numbers read, the file saved.

Skipped where there is no Chromium: ``apt install chromium``, or name one by ``CHROMIUM``.
"""

import os
import shutil
import subprocess
import sys

import pytest

from piddm.tasks.solution_files import read_solution

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")
playwright = pytest.importorskip("playwright.sync_api")

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
PATIENCE = 90_000
"""Milliseconds for what takes a second: other work may be on the machine."""


@pytest.fixture(scope="module")
def address(tiny_run):
    command = [sys.executable, "-m", "piddm", "view", str(tiny_run.path), "--no-browser"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()  # asked to end, it would wait for the page


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def page(browser, address):
    made, failed = browser.new_page(viewport={"width": 1280, "height": 900}), []
    made.set_default_timeout(PATIENCE)
    made.on("pageerror", lambda error: failed.append(str(error)))
    made.on("request", lambda request: failed.append(request.url)
            if not request.url.startswith((address, "blob:", "data:")) else None)  # fmt: skip
    made.goto(address)
    made.wait_for_selector("[data-panel=a][data-state=answer]")
    yield made
    assert failed == []  # nothing failed, and nothing came from elsewhere


def answered(page, count):
    page.wait_for_function(
        "n => { const p = document.querySelector('[data-panel=a]');"
        " return p.dataset.state === 'answer' &&"
        " p.querySelector('.says').textContent.includes(`for ${n} observations`); }",
        arg=count,
    )


def colours(page):
    return page.eval_on_selector(
        "[data-panel=a] figure[data-kind=mean] .frame > canvas",
        "c => Array.from(c.getContext('2d').getImageData(0, 0, 256, 256).data).join()",
    )


def test_three_sensors_a_picture_numbers_and_a_file(page, tmp_path):
    before = colours(page)
    canvas = page.locator("[data-panel=a] figure[data-kind=mean] .frame > canvas").last
    box = canvas.bounding_box()
    for x, y in ((0.3, 0.3), (0.7, 0.6), (0.4, 0.8)):
        canvas.click(position={"x": x * box["width"], "y": y * box["height"]})
    answered(page, 3)
    assert colours(page) != before
    numbers = page.locator("[data-panel=a] .numbers").inner_text()
    assert "misfit" in numbers
    assert "PDE error" in numbers
    assert page.locator("#table tbody tr").count() == 3
    with page.expect_download() as download:
        page.click("[data-panel=a] [data-file=h5]")
    download.value.save_as(tmp_path / "solution.h5")
    found = read_solution(tmp_path / "solution.h5")
    assert (len(found), found.task.observations.count) == (16, 3)


def test_a_sensor_moves_by_the_keyboard_and_the_answer_follows(page):
    marker = page.locator("[data-panel=a] button.marker").first
    old, label = colours(page), marker.get_attribute("aria-label")
    marker.focus()
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function(
        "old => document.querySelector('[data-panel=a] button.marker')"
        ".getAttribute('aria-label') !== old", arg=label,
    )  # fmt: skip
    answered(page, 3)
    assert colours(page) != old
    page.keyboard.press("Delete")
    answered(page, 2)


def test_two_solvers_stand_side_by_side(page):
    page.check("#compare")
    page.wait_for_selector("[data-panel=b][data-state=answer]")
    assert page.locator("#panels .panel").count() == 2
    page.uncheck("#compare")


def test_a_file_that_does_not_fit_is_told_by_its_line_as_text(page):
    text = b"field,t,x,value\n<script>alert(1)</script>,0.5,0.5,1\n"
    page.set_input_files("#file", {"name": "<script>.csv", "mimeType": "text/csv", "buffer": text})
    page.wait_for_function("() => document.body.innerText.includes('line 2')")
    assert page.locator("#banner script").count() == 0


def test_no_serious_finding_of_axe(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        found = axe.run(page).response["violations"]
        assert [(f["id"], f["nodes"][0]["html"]) for f in found
                if f["impact"] in ("serious", "critical")] == []  # fmt: skip


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 900})
