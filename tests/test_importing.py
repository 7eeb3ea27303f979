"""Files in the layouts of published data: imported with nothing said, each to the right map."""

import h5py
import numpy as np
import pytest
import torch

import layouts
import piddm
from piddm import PiddmError, UsageError
from piddm.data import dataset
from piddm.data.file_maps import map_text, read_map
from piddm.runs.reading import samples_of, suggestion

T = np.linspace(0, 2, 41)
X = layouts.centres(48)


def suggested(path, pde):
    return suggestion(path, piddm.get_pde(pde)).map


def test_sources_of_the_published_sign_and_their_solutions_are_told_apart(tmp_path):
    layouts.diffusion_pde_poisson(tmp_path / "p.mat")
    found = suggested(tmp_path / "p.mat", "poisson")
    (a,), (u,) = found.fields["a"], found.fields["u"]
    assert (a.key, a.factor, u.key, u.factor) == ("f_data", 1, "phi_data", 1)
    assert found.axes["x"].location == "vertex"
    assert found.reader == "matlab"


def test_a_wrong_sign_is_found_and_told(tmp_path):
    phi, f = layouts.sine_pairs(3, layouts.vertices(16), layouts.vertices(20))
    np.savez(tmp_path / "a.npz", force=-f, potential=phi)
    found = suggestion(tmp_path / "a.npz", piddm.get_pde("poisson"))
    assert found.map.fields["a"][0].factor == -1
    best, *rest = found.trials
    assert (
        best.score < 0.05 < 20 * best.score < min(t.score for t in rest if t.choice["a"] == "force")
    )


def test_matlab_73_has_its_axes_the_right_way_round(tmp_path):
    psi, laplacian = layouts.sine_pairs(5, layouts.vertices(16), layouts.vertices(20))
    layouts.matlab73(tmp_path / "h.mat", f_data=laplacian + psi, psi_data=psi)
    samples, _ = samples_of(tmp_path / "h.mat", piddm.get_pde("helmholtz"))
    assert (samples.count, samples.grid.shape) == (5, (16, 20))
    np.testing.assert_array_equal(samples.read(1, 3)["u"], psi[1:3])


def test_pdebench_times_have_one_entry_too_many_and_params_lack_a_pi(tmp_path):
    nu = 0.06
    path = tmp_path / "1D_Burgers_Sols_Nu0.06.hdf5"
    layouts.pdebench_line(path, layouts.hopf_cole(3, T, X, nu / np.pi), T, X, Nu=nu)
    samples, found = samples_of(path, piddm.get_pde("burgers"))
    assert found.format.startswith("PDEBench")
    assert samples.params["nu"] == pytest.approx(nu / np.pi)
    t, x = samples.grid.axes.values()
    assert t.ends == (0, 2)
    assert x.periodic
    np.testing.assert_allclose(x.coordinates(), X, atol=1e-6)


def test_a_param_is_taken_from_the_name_of_a_file(tmp_path):
    path = tmp_path / "1D_Advection_Sols_beta0.7.hdf5"
    layouts.pdebench_line(path, layouts.travelling(3, T, X, 0.7), T, X)
    samples, _ = samples_of(path, piddm.get_pde("advection"))
    assert samples.params["beta"] == pytest.approx(0.7)


def test_the_well_says_its_axes_and_params(tmp_path):
    fields = {"u": layouts.hopf_cole(3, T, X, 0.03)}
    layouts.the_well(tmp_path / "w.hdf5", fields, T, {"nu": 0.03}, ("x",), x=X)
    samples, found = samples_of(tmp_path / "w.hdf5", piddm.get_pde("burgers"))
    assert found.format == "The Well"
    assert found.map.fields["u"][0].key == "t0_fields/u"
    assert samples.params == {"nu": pytest.approx(0.03)}


def test_one_trajectory_with_the_axes_the_other_way_round(tmp_path):
    x = np.arange(48) / 48
    u = layouts.hopf_cole(1, T, x, 0.05)[0]
    np.savez(tmp_path / "b.npz", t=T[:, None], x=np.append(x, 1), usol=np.c_[u, u[:, 0]].T, nu=0.05)
    samples, found = samples_of(tmp_path / "b.npz", piddm.get_pde("burgers"))
    assert found.map.fields["u"][0].order == ("x", "t")
    assert found.map.axes["x"].closed
    assert (samples.count, samples.grid.shape) == (1, (41, 48))
    np.testing.assert_array_equal(samples.read(0, 1)["u"][0], u)


def test_apebench_is_known_by_the_description_beside_it(tmp_path):
    x = np.arange(40) / 40
    t = np.arange(6) * 0.1
    u = layouts.travelling(4, t, x, 0.4)[:, :, None].astype(np.float32)
    np.save(tmp_path / "phy_adv_train.npy", u)
    (tmp_path / "phy_adv.json").write_text('{"info": {"dt": 0.1, "beta": 0.4}}')
    samples, found = samples_of(tmp_path / "phy_adv_train.npy", piddm.get_pde("advection"))
    assert found.format == "APEBench"
    assert samples.grid.axes["t"].upper == pytest.approx(0.5)
    assert samples.grid.shape == (6, 40)


def test_names_are_believed_only_as_long_as_the_equation_does(tmp_path):
    """Poisson's a is its source; here it is the potential, as somebody else may call it."""
    phi, f = layouts.sine_pairs(4, layouts.vertices(20), layouts.vertices(20))
    np.savez(tmp_path / "named.npz", a=f, u=phi)
    np.savez(tmp_path / "other.npz", a=phi, u=f)
    own = suggestion(tmp_path / "named.npz", piddm.get_pde("poisson"))
    assert [own.map.fields[k][0].key for k in "au"] == ["a", "u"]
    assert all(t.choice["u"] == "u" for t in own.trials)
    other = suggestion(tmp_path / "other.npz", piddm.get_pde("poisson"))
    assert [other.map.fields[k][0].key for k in "au"] == ["u", "a"]
    assert {t.choice["u"] for t in other.trials} == {"a", "u"}  # both are told


def test_two_times_are_two_arrays(tmp_path):
    x, t = np.arange(32) / 32, np.array([0, 1.0])
    u = layouts.hopf_cole(4, t, x, 0.01)
    np.savez(tmp_path / "b.npz", a=u[:, 0], u=u[:, 1])
    samples, found = samples_of(tmp_path / "b.npz", piddm.get_pde("burgers"))
    assert [p.key for p in found.map.fields["u"]] == ["a", "u"]
    np.testing.assert_array_equal(samples.read(0, 4)["u"], u)


def test_a_stream_function_that_a_file_leaves_out_is_solved_for(tmp_path):
    """A decaying vortex: w = 8 pi^2 psi, and the residual of what is solved for is at round-off."""
    x = np.arange(16) / 16
    psi = np.sin(2 * np.pi * x)[:, None] * np.sin(2 * np.pi * x)
    t = np.linspace(0, 0.1, 5)
    rate = 8 * np.pi**2
    w = np.exp(-1e-3 * rate * t)[None, :, None, None] * rate * psi * np.ones((3, 1, 1, 1))
    np.savez(tmp_path / "w.npz", w=w, t=t)
    pde = piddm.get_pde("navier-stokes")
    samples, found = samples_of(tmp_path / "w.npz", pde)
    assert set(found.map.fields) == {"w"}
    fields = samples.read(0, 2)
    np.testing.assert_allclose(fields["psi"][0, 0], psi, rtol=0.03, atol=1e-12)  # 16 nodes
    rows = pde.bind(samples.grid)({k: v.double() for k, v in fields.items()})
    assert float(rows["stream"].abs().max()) < 1e-9 * rate


def test_of_two_times_far_apart_the_first_is_found_by_solving_again(tmp_path):
    """A step of 1 leaves a residual of order 1 both ways round; only one of them is a solution."""
    x, t = np.arange(16) / 16, np.array([0, 1.0])
    u = layouts.hopf_cole(3, t, x, 0.1)
    np.savez(tmp_path / "b.npz", u=u[:, 0], a=u[:, 1], visc=0.1)
    found = suggestion(tmp_path / "b.npz", piddm.get_pde("burgers"))
    assert [p.key for p in found.map.fields["u"]] == ["u", "a"]
    assert found.map.params["nu"].factor == 1
    assert found.trials[0].distance < 0.02 < 0.1 < found.trials[1].distance
    assert "distance, solved again" in found.table()[0]


@pytest.mark.parametrize("late", [True, False])
def test_films_have_their_axes_told_by_their_sizes(tmp_path, late):
    """(N, X, Y, T), as those of neural operators are after their transpose, or (N, T, X, Y)."""
    x = np.arange(8) / 8
    shape = np.sin(2 * np.pi * x)[:, None] * np.cos(2 * np.pi * x)
    decay = np.exp(-1e-3 * 8 * np.pi**2 * np.arange(3.0))
    w = decay[None, :, None, None] * shape * np.ones((3, 1, 1, 1))
    layouts.matlab73(tmp_path / "ns.mat", u=np.moveaxis(w, 1, -1) if late else w)
    found = suggested(tmp_path / "ns.mat", "navier-stokes")
    assert found.fields["w"][0].order == ("sample", *("xyt" if late else "txy"))


def test_a_map_written_is_the_map_that_is_read(tmp_path):
    layouts.diffusion_pde_poisson(tmp_path / "p.mat")
    found = suggested(tmp_path / "p.mat", "poisson").model_copy(update={"nan": "drop", "first": 1})
    (tmp_path / "m.toml").write_text(map_text(found))
    assert read_map(tmp_path / "m.toml") == found


def test_an_import_is_the_files_numbers_with_their_own_error_as_the_floor(tmp_path):
    layouts.diffusion_pde_poisson(tmp_path / "p.mat", n=24, count=5)
    made, _ = piddm.import_data(tmp_path / "p.mat", "poisson", tmp_path / "p.h5", progress=False)
    found = dataset.read(tmp_path / "p.h5")
    phi, f = layouts.sine_pairs(5, layouts.vertices(24), layouts.vertices(24))
    np.testing.assert_array_equal(found.fields["u"], phi)
    np.testing.assert_array_equal(found.fields["a"], f)
    assert made.count == len(found) == 5
    assert found.origin == "p.mat"
    assert found.floor == made.about.floor
    assert 1e-6 < found.floor["balance"] < 1e-3  # second-order stencils on 24 nodes


def test_what_is_not_finite_is_counted_refused_or_left_out(tmp_path):
    phi, f = layouts.sine_pairs(6, layouts.vertices(16), layouts.vertices(16))
    phi[2, 3, 4], phi[4, 5, :2] = np.nan, np.inf
    np.savez(tmp_path / "a.npz", f=f, u=phi)
    out = tmp_path / "a.h5"
    with pytest.raises(
        PiddmError, match=r"3 in u values are not finite, in 2 of 6 samples \(2, 4\)"
    ):
        piddm.import_data(tmp_path / "a.npz", "poisson", out, progress=False)
    assert not out.exists()
    made, _ = piddm.import_data(tmp_path / "a.npz", "poisson", out, drop=True, progress=False)
    assert (made.count, made.dropped) == (4, (2, 4))
    np.testing.assert_array_equal(dataset.read(out).fields["u"], phi[[0, 1, 3, 5]])


def test_arrays_that_do_not_fit_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", f=np.zeros((4, 8, 9)), u=np.zeros((4, 9, 9)))
    with pytest.raises(PiddmError, match=r"no choice of arrays fits poisson.*f \(4, 8, 9\)"):
        suggested(tmp_path / "a.npz", "poisson")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('key = "f_data"', "no array 'g'.*phi_data"),
        ('order = ["sample", "x", "y"]', "no axis 'q'"),
        ('pde = "poisson"', "of darcy, asked is poisson"),
        ("[axes.x]", "none of this name"),
    ],
)
def test_a_wrong_map_is_told_in_a_line(tmp_path, change, said):
    layouts.diffusion_pde_poisson(tmp_path / "p.mat")
    text = map_text(suggested(tmp_path / "p.mat", "poisson"))
    wrong = {"key": 'key = "g"', "orde": 'order = ["sample", "x", "q"]', "pde ": 'pde = "darcy"'}
    text = text.replace(change, wrong.get(change[:4].replace("key ", "key"), "[axes.q]"), 1)
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(PiddmError, match=said):
        samples_of(tmp_path / "p.mat", piddm.get_pde("poisson"), tmp_path / "m.toml")


def test_a_plugin_brings_a_reader(tmp_path, alone):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "from piddm import hookimpl\n"
        "from piddm.data.readers.named_arrays import Held\n"
        "from piddm.interfaces import Reader\n"
        "class Mine(Reader):\n"
        "    def opens(self, path, first): return first.startswith(b'MINE')\n"
        "    def arrays(self, path):\n"
        "        values = np.frombuffer(path.read_bytes()[4:]).reshape(2, 3, 12, 12)\n"
        "        return Held(path, {'a': values[0], 'u': values[1]})\n"
        "@hookimpl\n"
        "def piddm_register_readers(register): register('mine', 'my own', Mine)\n"
    )
    from piddm import plugins

    plugins.use_files([tmp_path / "mine.py"])
    phi, f = layouts.sine_pairs(3, layouts.vertices(12), layouts.vertices(12))
    (tmp_path / "data").write_bytes(b"MINE" + np.stack([f, phi]).tobytes())
    samples, found = samples_of(tmp_path / "data", piddm.get_pde("poisson"))
    assert found.map.reader == "mine"
    assert torch.equal(samples.read(0, 3)["u"], torch.from_numpy(phi))


def test_ten_thousand_samples_are_read_some_at_a_time(tmp_path, monkeypatch):
    """No read is of more than a few million numbers, whatever the file's size."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "au":
            file.create_dataset(name, (10_000, 32, 32), "f4", chunks=(500, 32, 32))
            file[name][:3] = np.ones((3, 32, 32))
        file["a"].attrs["pad"] = np.zeros(8)
    from piddm.data.readers import any_hdf5 as hdf5
    from piddm.data.sample_source import NUMBERS

    sizes = []
    part = hdf5.part

    def measured(*given):
        values = part(*given)
        sizes.append(values.size)
        return values

    monkeypatch.setattr(hdf5, "part", measured)
    monkeypatch.setattr(hdf5, "RATIO", 10_000)
    samples, _ = samples_of(tmp_path / "a.h5", piddm.get_pde("poisson"))
    for _ in samples.chunks(1000):
        pass
    assert max(sizes) <= NUMBERS


def test_piddms_own_data_need_no_map(tmp_path):
    piddm.make_dataset("poisson", 2, size=12, path=tmp_path / "a.h5", progress=False)
    with pytest.raises(UsageError, match="needs no map"):
        suggestion(tmp_path / "a.h5", piddm.get_pde("poisson"))
    samples, found = samples_of(tmp_path / "a.h5", piddm.get_pde("poisson"))
    assert found is None
    assert samples.count == 2
