"""Models of the Hugging Face hub: sent, fetched through its client from a stand-in, and refused.

The stand-in is a server on this machine that hands out files as the hub does (a head with the
commit and the digest, then the content); the client is the real one. What is sent is caught where
the client would upload it.
"""

import hashlib
import http.server
import json
import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import piddm
from piddm import PiddmError, UsageError
from piddm.cli.app import app
from piddm.equation import PDE
from piddm.reports.model_page import model_page
from piddm.runs import hub
from piddm.runs.model_card import read_card
from piddm.tools.files import write_json

client = pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers ``/user/name/resolve/REVISION/FILE`` from a folder."""

    root: Path
    asked: list[str]

    def do_HEAD(self):
        user, name, _, revision, file = self.path.strip("/").split("/", 4)
        path = self.root / user / name / file
        self.asked.append(f"{self.command} {file}")
        error = "" if path.parent.is_dir() else "RepoNotFound"
        error = error or ("" if path.is_file() else "EntryNotFound")
        error = error or ("" if revision in ("main", COMMIT) else "RevisionNotFound")
        self.send_response(404 if error else 200)
        content = b"" if error else path.read_bytes()
        if error:
            self.send_header("X-Error-Code", error)
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_GET = do_HEAD

    def log_message(self, *_):
        pass


def catch_uploads(monkeypatch, root):
    def upload(_, *, repo_id, folder_path, allow_patterns, **__):
        target = root / repo_id
        target.mkdir(parents=True)
        for name in allow_patterns:
            if (Path(folder_path) / name).is_file():
                shutil.copyfile(Path(folder_path) / name, target / name)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/{COMMIT}")

    monkeypatch.setattr(client.HfApi, "create_repo", lambda *_, **__: None)
    monkeypatch.setattr(client.HfApi, "upload_folder", upload)


@pytest.fixture(scope="module")
def pushed(tiny_run, tmp_path_factory):
    """The tiny run, sent once; nothing of its own folder changed."""
    root = tmp_path_factory.mktemp("sent")
    before = {p: p.stat().st_mtime_ns for p in tiny_run.path.rglob("*") if p.is_file()}
    with pytest.MonkeyPatch.context() as patch:
        catch_uploads(patch, root)
        where = tiny_run.push("ann/tiny", licence="mit", progress=False)
    assert where.endswith(f"/ann/tiny/commit/{COMMIT}")
    assert before == {p: p.stat().st_mtime_ns for p in tiny_run.path.rglob("*") if p.is_file()}
    return root / "ann" / "tiny"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The stand-in: its folder of repositories, what was asked of it, and how to end it."""
    own = type("Own", (Handler,), {"root": tmp_path / "hub", "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "copies"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("piddm.runs.hub.getproxies", dict)

    catch_uploads(monkeypatch, tmp_path / "hub")

    def end():
        server.shutdown()
        server.server_close()

    yield SimpleNamespace(root=tmp_path / "hub", asked=own.asked, end=end)
    end()


@pytest.fixture
def model(served, pushed):
    """The tiny run as a model on the hub."""
    shutil.copytree(pushed, served.root / "ann" / "tiny")
    return served.root / "ann" / "tiny"


def test_what_is_sent_opens_elsewhere_and_then_without_a_network(model, served, tiny_run):
    """Half precision has 11 bits: samples differ by about 1e-3."""
    names = {"README.md", "model.json", "student.safetensors", "teacher.safetensors"}
    assert {p.name for p in model.iterdir()} == names
    found = piddm.load_model("hf://ann/tiny").sample(3, seed=1)["u"]
    own = tiny_run.sample(3, seed=1)["u"]
    assert 0 < float((found - own).norm() / own.norm()) < 5e-3
    assert not any("README" in line for line in served.asked)  # no file that it does not need
    served.end()
    again = piddm.load_model("hf://ann/tiny")
    assert bool((again.sample(3, seed=1)["u"] == found).all())
    assert again.outputs.name == "tiny"
    with pytest.raises(PiddmError, match="cannot reach the hub") as error:
        piddm.load_model("hf://ann/other")
    assert "\n" not in str(error.value)


def test_commands(model, served, tmp_path, tiny_run):
    def call(*words):
        return CliRunner().invoke(app, [str(w) for w in words])

    done = call("push", tiny_run.path, "--to", "bob/tiny", "--student-only")
    assert done.exit_code == 0, done.output
    assert "--model hf://bob/tiny" in done.output
    assert not (served.root / "bob/tiny/teacher.safetensors").exists()
    done = call("sample", "--model", "hf://bob/tiny", "-n", 1, "--out", tmp_path / "s.h5")
    assert done.exit_code == 0, done.output
    done = call("push", tiny_run.path, "--to", "no address")
    assert done.exit_code == 2
    assert "write it as hf://user/name" in done.output


@pytest.mark.parametrize(
    ("address", "why"),
    [("hf://ann/none", "there is no model"), ("hf://ann", "no model on the hub"),
     ("hf://ann/../etc", "no model on the hub"), ("hf://ann/tiny@v9", "no revision 'v9'")],
)  # fmt: skip
def test_addresses_that_lead_nowhere(address, why, model):
    with pytest.raises(UsageError, match=why):
        piddm.load_model(address)


def test_what_is_fetched_is_validated(model, served):
    whole = (model / "student.safetensors").read_bytes()
    (model / "student.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(PiddmError, match=r"student\.safetensors is not the file"):
        piddm.load_model("hf://ann/tiny")
    card = read_card(model)
    strange = {**card.digests, "../../evil.py": "0" * 64}, {"teacher.safetensors": "0" * 64}
    for place, digests in enumerate(strange):
        path = served.root / f"eve/{place}/model.json"
        path.parent.mkdir(parents=True)
        write_json(path, card.model_copy(update={"digests": digests}))
        with pytest.raises(UsageError, match="names other files"):
            piddm.load_model(f"hf://eve/{place}")
    other = served.root / "eve/c/model.json"
    other.parent.mkdir()
    other.write_text(json.dumps({**json.loads((model / "model.json").read_text()), "more": 1}))
    with pytest.raises(PiddmError, match=r"model\.json"):
        piddm.load_model("hf://eve/c")
    assert not any("evil" in line for line in served.asked)
    (served.root / "eve/d").mkdir()
    with pytest.raises(UsageError, match=r"is no model of piddm's: it has no model\.json"):
        piddm.load_model("hf://eve/d")


def test_a_missing_extra_and_nobody_signed_in_are_one_line(model, monkeypatch, tiny_run):
    def refuse(*_, **__):
        raise client.errors.LocalTokenNotFoundError("no\ntoken")

    monkeypatch.setattr(client.HfApi, "create_repo", refuse)
    with pytest.raises(UsageError, match="hf auth login"):
        hub.sent(model, hub.address("ann/tiny"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: piddm.load_model("hf://ann/tiny"), lambda: tiny_run.push("ann/tiny")):
        with pytest.raises(UsageError, match=r"pip install 'piddm\[hub\]'"):
            call()


def test_the_page_has_the_models_own_numbers_and_names_as_text(model, tiny_run):
    card = read_card(model)
    page = (model / "README.md").read_text()
    assert page.startswith("---\nlibrary_name: piddm\n")
    assert "license: mit" in page.partition("\n---\n")[0]
    student = card.scores["student"]
    for words in (f"{student['energy_distance']:.3g}", "16 × 16 nodes", "∂u/∂t", "one network call",
                  'load_model("hf://ann/tiny")', "## Is it good?", "piddm distill"):  # fmt: skip
        assert words in page, words
    own = tiny_run.pde
    assert isinstance(own, PDE)
    evil = model_page("a/b", card, SimpleNamespace(  # pyright: ignore[reportArgumentType]
        name="x", summary="<script>alert(1)</script>\n# [no](http://x)", equations=own.equations,
        conditions=own.conditions, fields=own.fields))  # fmt: skip
    assert "<script" not in evil
    assert "\n# \\[no" not in evil


def test_a_model_that_is_one_already_is_sent_as_it_is(model, served):
    again = piddm.load_model("hf://ann/tiny")
    again.push("cat/same", progress=False)
    for name in ("model.json", "student.safetensors", "teacher.safetensors"):
        assert (served.root / "cat/same" / name).read_bytes() == (model / name).read_bytes()
