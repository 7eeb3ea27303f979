"""The page's server: who is let in, what is refused, and that answers are those of the recipes."""

import json
import shutil
import socket
import threading
import time

import numpy as np
import pytest

import piddm
from piddm.tools.errors import PiddmError, UsageError
from piddm.view import page_models, serving
from piddm.view.desk import Desk
from piddm.view.guard import Guard
from piddm.view.packets import Picture, packet
from piddm.view.subjects import Subjects, model_subject, run_subject
from piddm.view.web import application

pytest.importorskip("starlette")
from starlette.testclient import TestClient

TOKEN, PORT = "a-token", 8410
SEEN = "field,t,x,value,sigma\nu,0.5,0.25,0.3,0.05\nu,0.5,0.75,-0.2,0.05\n"


@pytest.fixture(scope="module")
def subject(tiny_run):
    return run_subject(tiny_run.path)


@pytest.fixture(scope="module")
def client(subject):
    desk = Desk()
    guarded = Guard(application(Subjects(subject, {}), desk), TOKEN, PORT)
    with TestClient(guarded, base_url=f"http://127.0.0.1:{PORT}") as made:
        yield made
    desk.close()


def post(client, request, /, **body):
    return client.post(f"/{TOKEN}/api/{request}", json={"subject": "first", "page": "p", **body})


def unpacked(content):
    size = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + size])
    arrays = {}
    for own in header["arrays"]:
        kind, count = np.dtype("<f4" if own["type"] == "f4" else "u1"), int(np.prod(own["shape"]))
        values = np.frombuffer(content, kind, count, 4 + size + own["start"]).reshape(own["shape"])
        if own["type"] == "u1":
            values = own["low"] + (own["high"] - own["low"]) * values / 255.0
        arrays[own["name"]] = values
    return header, arrays


def test_only_the_token_opens_anything(client):
    for path in ("/", "/wrong/", "/wrong/api/start", f"/{TOKEN}x/", "/index.html"):
        assert client.get(path).status_code == 404
    assert client.get(f"/{TOKEN}/").status_code == 200
    assert client.get(f"/{TOKEN}", follow_redirects=False).headers["location"] == f"/{TOKEN}/"


@pytest.mark.parametrize("headers", [
    {"host": "evil.example"}, {"host": f"evil.example:{PORT}"}, {"host": "127.0.0.1:1"},
    {"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
])  # fmt: skip
def test_other_hosts_and_other_pages_are_refused(client, headers):
    assert client.get(f"/{TOKEN}/", headers=headers).status_code in (403, 421)


@pytest.mark.parametrize("name", ["..%2f__init__.py", "%2e%2e/web.py", "page_models.py", "x.js"])
def test_nothing_but_the_pages_own_files_is_served(client, name):
    assert client.get(f"/{TOKEN}/{name}").status_code == 404


def test_the_page_runs_its_own_scripts_only(client):
    policy = client.get(f"/{TOKEN}/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("body", [
    {"solver": "../x"}, {"members": 0}, {"members": 10**6}, {"seed": -1}, {"strange": 1},
    {"panel": "c"}, {"settings": {"a b": "1"}}, {"observations": 3},
])  # fmt: skip
def test_what_is_not_of_the_form_is_refused_in_one_line(client, body):
    found = post(client, "answer", **body)
    assert found.status_code == 422
    assert "\n" not in found.json()["error"]


def test_too_large_a_body_is_not_read(client):
    found = client.post(f"/{TOKEN}/api/drop", content=b"x" * (page_models.LARGEST + 1))
    assert found.status_code == 413


@pytest.mark.parametrize(("text", "told"), [
    ("field,t,x,value\nu,0.5,0.5,1\nu,0.5,abc,1\n", "line 3: x is not a number: 'abc'"),
    ("field,t,y,value\nu,0.5,0.5,1\n", "line 1: there is no column 'y'"),
    ("field,t,x,value\n<script>,0.5,0.5,1\n", "line 2"),
    ("field,t,x,value\nu,0.5,7,1\n", "line 2 (u at t=0.5, x=7) is outside the domain"),
    ("field,t,x,value\nu,0.5,1\n", "line 2: 3 cells where the header has 4"),
    ("", "is empty"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_by_line_and_column(client, text, told):
    found = post(client, "drop", name="wells.csv", text=text)
    assert found.status_code == 400
    assert told in found.json()["error"]


def test_a_file_becomes_sensors(client):
    found = post(client, "drop", name="wells.csv", text=SEEN + "").json()
    assert [s["at"] for s in found["sensors"]] == [[0.5, 0.25], [0.5, 0.75]]
    assert {s["sigma"] for s in found["sensors"]} == {0.05}


@pytest.mark.parametrize("solver", ["gaussian", "latent"])
def test_an_answer_is_that_of_its_recipe(client, tiny_run, tmp_path, monkeypatch, solver):
    settings = {"rounds": "2", "steps": "0"} if solver == "latent" else {}
    asked = {"observations": SEEN, "solver": solver, "settings": settings, "members": 3, "seed": 5,
             "quantities": ["integral(u) @ t=1"]}  # fmt: skip
    post(client, "answer", **{**asked, "seed": 6})  # what a solver keeps must not show
    header, arrays = unpacked(post(client, "answer", **asked).content)
    (tmp_path / "observations.csv").write_text(SEEN)
    monkeypatch.chdir(tmp_path)
    again = tiny_run.solve("reconstruct", "observations.csv", solver, 3, seed=5, settings=settings,
                           progress=False)  # fmt: skip
    np.testing.assert_allclose(arrays["mean/u"], again.mean["u"].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays["deviation/u"], again.std["u"].numpy(), rtol=1e-4, atol=1e-6)
    assert header["seen"] == 2
    assert set(header["quantities"]) == {"integral(u) at t=1"}
    assert f"--solver {solver}" in header["command"]
    assert str(tiny_run.path) in header["python"]


def test_downloads_are_the_files_of_solve(client, tmp_path):
    from piddm.tasks.solution_files import read_solution

    question = {"subject": "first", "page": "p", "observations": SEEN, "solver": "gaussian",
                "members": 2}  # fmt: skip
    found = post(client, "download", question=question, kind="h5")
    (tmp_path / "solution.h5").write_bytes(found.content)
    assert len(read_solution(tmp_path / "solution.h5")) == 2
    assert post(client, "download", question=question, kind="csv").text == SEEN
    assert post(client, "download", question=question, kind="json").json()["members"] == 2


def test_without_sensors_the_answer_is_the_law(client):
    header, arrays = unpacked(post(client, "answer", members=2).content)
    assert header["seen"] == 0
    assert arrays["members/u"].shape[0] == 2


def test_samples_come_with_residual_and_correction(client):
    header, arrays = unpacked(post(client, "samples", seed=1).content)
    assert header["errors"]["after"][0] <= header["errors"]["before"][0]
    assert {"sample/u", "corrected/u", "before/momentum", "after/momentum"} <= set(arrays)


def test_pictures_keep_values_to_a_level():
    values = np.linspace(-2, 3, 64).reshape(8, 8)
    _, arrays = unpacked(packet({}, {"a": Picture.of(values)}))
    assert np.abs(arrays["a"] - values).max() <= 2.5 / 255


def test_a_newer_question_takes_the_place_of_an_older_one(client):
    codes = {}

    def ask(name, **body):
        codes[name] = post(client, "answer", observations=SEEN, **body).status_code

    slow = threading.Thread(
        target=ask, args=("old",), kwargs={"solver": "latent", "members": 64,
                                           "settings": {"steps": "100000"}}
    )  # fmt: skip
    slow.start()
    time.sleep(1)
    ask("new", solver="gaussian", members=2)
    slow.join(60)
    assert codes == {"old": 409, "new": 200}


def test_a_run_that_goes_on_or_is_removed_is_told(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "run")
    own = run_subject(folder)
    own.open()
    assert own.state == "same"
    (folder / "metrics.json").touch()
    assert own.state == "changed"
    shutil.rmtree(folder)
    assert own.state == "removed"
    assert own.run.sample(1)["u"].shape[0] == 1  # what was read stays


def test_a_run_of_another_version_is_one_line(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "run")
    text = (folder / "manifest.json").read_text().replace('"version": 1', '"version": 9')
    (folder / "manifest.json").write_text(text)
    with pytest.raises(PiddmError, match="another version"):
        run_subject(folder).open()


def test_a_port_in_use_gives_the_next_one():
    said = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serving.bound(port, said.append) as own:
            assert own.getsockname()[1] > port
            assert own.getsockname()[0] == "127.0.0.1"
    assert f"port {port} is in use" in said[0]


def test_without_the_extra_one_line_says_so(monkeypatch):
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'piddm\[view\]'"):
        serving.check_installed()


def test_no_browser_is_said(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(serving.sys, "platform", "linux")
    assert serving._shown("http://127.0.0.1/") is False


def test_a_subject_that_is_not_there_is_refused(client):
    found = client.post(f"/{TOKEN}/api/open", json={"subject": "x", "page": "p"})
    assert (found.status_code, "no subject" in found.json()["error"]) == (400, True)
    assert model_subject("none").title == "none"
    assert piddm.__name__ == "piddm"


def test_what_a_solver_keeps_changes_no_answer():
    from piddm.runs.asking import equation_model, question
    from piddm.tasks.ensemble import EnsembleSampler, built
    from piddm.tasks.observations import Observations

    model = equation_model("poisson", 12, progress=False)
    grid = model.residual.grid
    kept = built(model, "exact")
    for place in (0.3, 0.6):
        seen = Observations.at_points(grid, {"u": [[place, 0.4]]}, {"u": [0.01]}, sigma=0.001)
        task, _ = question(model, "reconstruct", seen, "exact")
        found = []
        for solver in (kept, None):
            sampler = EnsembleSampler(model, task, "exact", 2, seed=3, made=solver)
            list(sampler.work())
            found.append(sampler.solution().fields["u"])
        assert (found[0] == found[1]).all()
