"""Students as ONNX and as one page: each graph against torch, the page's own decoder, refusals."""

import json
import lzma
import shutil
import subprocess

import numpy as np
import pytest
import torch

import piddm
from piddm.config import resolving
from piddm.data.packing import Packing
from piddm.portable import page_file, runtime, tracing
from piddm.portable.onnx_file import Physical, write_onnx
from piddm.runs.model_files import build_student, build_teacher
from piddm.tools.errors import PiddmError, UsageError
from tiny import tiny

ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def student_of(pde, law=False, **changes):
    """A student whose every weight is drawn, so that every operation counts."""
    equation = piddm.get_pde(pde)
    config = resolving.resolve(pde, "quick", overrides=tiny(changes))
    grid = config.data.grid(equation.grid)
    made = build_student(config, build_teacher(config, equation, grid), equation)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for own in made.parameters():
            own.copy_(0.2 * torch.randn(own.shape, generator=draw))
        for name in ("components", "strengths", "offset", "spread"):
            for key, own in made.named_buffers():
                if key.endswith(name):
                    own.copy_(torch.randn(own.shape, generator=draw))
        if law:
            made.gaussian.fill_(True)
            for own in made.law.buffers():
                own.copy_(torch.randn(own.shape, generator=draw))
    return tracing.exportable(made, unpolished=True)


@pytest.mark.parametrize(
    ("pde", "changes"),
    [
        ("burgers", {}),
        ("burgers", {"law": True, "student.name": "staged"}),
        ("darcy", {"student.name": "one-step"}),
        ("burgers", {"network.name": "fno", "student.name": "one-step"}),
        ("sphere-poisson", {"student.name": "one-step"}),
    ],
)
def test_a_graph_is_the_student(pde, changes):
    """To 1e-5, rounding in float32 of a few layers; at another batch than the traced one."""
    module = Physical(student_of(pde, **changes))
    packing = module.student.packing
    shape = packing.channels, *packing.image
    draw = torch.Generator().manual_seed(1)
    noise = torch.randn(3, *shape, generator=draw)
    model = tracing.traced(module, noise[:1], "noise", list(packing.names), batch=True)
    with torch.no_grad():
        expected = module(noise)
    found = tracing.answers(model.SerializeToString(), noise)
    for own, other in zip(found, expected, strict=True):
        assert own.shape == other.shape
        assert float((own - other).abs().max()) < 1e-5 * max(1.0, float(other.abs().max()))
    assert {s.version for s in model.opset_import} == {tracing.OPSET}


def test_the_file_says_what_it_is_and_another_answer_writes_none(tiny_run, tmp_path, monkeypatch):
    told = write_onnx(tiny_run, tmp_path / "student.onnx", unpolished=True)
    session = ort.InferenceSession(str(tmp_path / "student.onnx"))
    metadata = session.get_modelmeta().custom_metadata_map
    assert {k: json.loads(v) for k, v in metadata.items()} == told
    assert told["equation"] == tiny_run.pde.name
    assert told["checked"] < 1e-5
    assert session.get_inputs()[0].shape[1:] == told["noise"][1:]
    right = tracing.answers
    monkeypatch.setattr(
        "piddm.portable.onnx_file.answers", lambda *a: [v + 1e-3 for v in right(*a)]
    )
    with pytest.raises(PiddmError, match="deviations from torch"):
        write_onnx(tiny_run, tmp_path / "other.onnx", unpolished=True)
    assert not (tmp_path / "other.onnx").exists()


def test_a_newton_step_is_left_out_in_words_only():
    with pytest.raises(UsageError, match="--unpolished"):
        tracing.exportable(piddm.load_model("poisson-64").student, unpolished=False)


def test_what_onnx_has_not_is_told_in_a_line():
    class Spectral(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(x)

    with pytest.raises(UsageError, match="ONNX has no counterpart") as told:
        tracing.traced(Spectral(), torch.eye(4)[None], "x", ["y"], batch=False)
    assert "\n" not in str(told.value)


def test_the_page_refuses_fields_that_it_cannot_show_and_other_packages(tmp_path):
    packing = Packing(piddm.get_pde("sphere-poisson").grid.resized(8), ("u",))
    with pytest.raises(UsageError, match="two axes on a plane"):
        page_file._refuse(packing)
    (tmp_path / "other.tgz").write_bytes(b"no package")
    with pytest.raises(UsageError, match=r"is not the npm package"):
        runtime.runtime(tmp_path / "other.tgz", print)


def test_a_page_is_whole_in_one_file(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(page_file, "runtime", lambda *_: ("/* runtime */", b"packed", 6))
    told = page_file.write_page(tiny_run, tmp_path / "student.html", unpolished=True)
    text = (tmp_path / "student.html").read_text()
    assert told["checked"] < page_file.AGREE
    assert "src=" not in text
    assert 'href="http' not in text
    assert "import " not in text.partition('<script type="module">')[2]
    about = json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])
    assert about["sizes"]["data"] > about["skeleton"] + 2 * about["halves"]
    with pytest.raises(
        PiddmError, match=r"too large for the browser: .* allow more by --largest 1"
    ):
        page_file.write_page(tiny_run, tmp_path / "large.html", True, largest=0.01)
    assert not (tmp_path / "large.html").exists()


def test_components_are_kept_once_and_the_graph_comes_back():
    """As the page puts it together: numbers to their places, then what repeats the components."""
    draw = np.random.default_rng(0)
    half = lambda *shape: draw.normal(size=shape).astype("<f2").astype("<f4")  # noqa: E731
    components = half(8, 300)
    tensors = {
        "whole": components, "turned": components.T, "part": components[:, 150:],
        "turned part": components.T[:150],  # which is how the one above begins
        "own": half(30, 20), "exact": draw.normal(size=(30, 20)).astype("<f4"),
    }  # fmt: skip
    made = [onnx.numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in tensors.items()]
    graph = onnx.helper.make_graph([], "g", [], [], initializer=made)
    content = onnx.helper.make_model(graph).SerializeToString()
    skeleton, numbers, places, copies = page_file._split(content, components)
    assert (len(numbers), len(places), len(copies)) == (600, 1, 4)
    back, at, flat = bytearray(skeleton), 0, components.flatten()
    for place, length in places:
        back[place : place + 4 * length] = numbers[at : at + length].astype("<f4").tobytes()
        at += length
    for place, rows, columns, down, across, first in copies:
        index = first + np.arange(rows)[:, None] * down + np.arange(columns) * across
        back[place : place + 4 * index.size] = flat[index].tobytes()
    assert bytes(back) == content


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_pages_decoder_unpacks_what_lzma_packed(tmp_path):
    """Text that repeats near and far, noise that does not, and counted bytes."""
    draw = np.random.default_rng(0)
    words = [draw.bytes(n) for n in (3, 9, 40, 300)]
    parts = [words[i] for i in draw.integers(0, 4, 3000)] + [draw.bytes(20_000), bytes(70_000)]
    data = b"".join([*parts, *parts[:500], np.arange(20_000, dtype="<f4").tobytes()])
    (tmp_path / "data.lzma").write_bytes(runtime.packed(data))
    source = page_file.files("piddm.portable") / "page" / "lzma.js"
    (tmp_path / "lzma.mjs").write_text(source.read_text())
    (tmp_path / "main.mjs").write_text(
        "import fs from 'fs'; import {unpacked} from './lzma.mjs';"
        f"fs.writeFileSync('out', unpacked(fs.readFileSync('data.lzma'), {len(data)}));"
    )
    subprocess.run(["node", "main.mjs"], cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_bytes() == data
    assert lzma.decompress(runtime.packed(data)) == data
