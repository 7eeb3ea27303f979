"""The page of ``piddm export --to page`` in a real Chromium, from the disk: against torch.

Skipped without a Chromium, or where npm cannot fetch the runtime; under ``slow`` for its 14 MB.
"""

import pytest
import torch

import piddm
from piddm.portable.page_file import _small, write_page
from piddm.portable.tracing import exportable
from piddm.tools.errors import PiddmError
from test_view_browser import CHROMIUM, FLAGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium"),
]
playwright = pytest.importorskip("playwright.sync_api")


def test_it_samples_as_torch_and_answers_three_sensors(tmp_path):
    model = piddm.load_model("burgers-64")
    try:
        write_page(model, tmp_path / "student.html", unpolished=True)
    except PiddmError as error:
        if "npm" not in str(error):
            raise
        pytest.skip(str(error))
    assert (tmp_path / "student.html").stat().st_size <= 6e6
    asked = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "student.html").as_uri())
        page.wait_for_selector("#panel[data-state=answer]", timeout=120_000)
        noise, found = page.evaluate(
            "async () => { const w = piddm.white(4096, 3);"
            " return [Array.from(w), await piddm.sample(w)]; }"
        )
        before = page.evaluate("async () => (await piddm.answer()).deviation[0]")
        page.click("#three")
        page.wait_for_function(
            "() => document.querySelector('.says').textContent.includes('for 3 sensors')"
        )
        answer = page.evaluate("async () => await piddm.answer()")
        ms = page.evaluate(
            "async () => { const began = performance.now(); for (let i = 0; i < 10; i++)"
            " await piddm.sample(piddm.white(4096, i)); return (performance.now() - began) / 10; }"
        )
        browser.close()
    print(f"{ms:.0f} ms a sample")
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []
    student = _small(exportable(model.student, unpolished=True))
    with torch.no_grad():
        expected = student(torch.tensor(noise).view(1, 1, 64, 64))
    assert float((torch.tensor(found) - expected.flatten()).abs().max()) < 1e-4
    assert sum(answer["misfit"]) / len(answer["misfit"]) < 4
    assert sum(answer["deviation"][0]) < 0.7 * sum(before)
