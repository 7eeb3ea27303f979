"""Scores that see: the law of one value, self-consistency, floors, and the verdict on a network."""

from types import SimpleNamespace

import pytest
import torch

from piddm import Axis, Grid, get_pde
from piddm.config import resolve
from piddm.data.correcting import own_solutions
from piddm.data.packing import Packing
from piddm.grids.means import node_weights
from piddm.metrics.beyond_range import beyond_range
from piddm.metrics.one_point import one_point_distance
from piddm.metrics.scores import Metrics, Scores, mean_scores
from piddm.metrics.self_consistency import inconsistency
from piddm.numerics.own_solution import OwnSolution
from piddm.reports.break_even import answers_even, break_even, unmeasured
from piddm.reports.judgement import judgement
from piddm.reports.tables import score_table
from piddm.reports.verdict import verdict
from piddm.residuals.norms import term_scale
from piddm.runs.answering import Answer, Answers


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def test_a_shift_is_as_far_as_it_moves():
    data = normal(8, 16, 16)
    assert one_point_distance(data + 0.3, data, 2.0, None) == pytest.approx(0.15, rel=1e-5)


def test_what_stands_where_does_not_matter():
    data = normal(8, 16, 16)
    other = data.flatten()[torch.randperm(data.numel())].view_as(data)
    assert one_point_distance(other, data, 1.0, None) == 0


def test_a_wrong_share_of_phases_costs_their_difference():
    """Phases 3 and 12: a quarter of the nodes in the upper one instead of a half."""
    data, samples = torch.full((4, 8), 3.0), torch.full((4, 8), 3.0)
    data[:, :4], samples[:, :2] = 12.0, 12.0
    assert one_point_distance(samples, data, 4.5, None) == pytest.approx(0.25 * 9 / 4.5)


def test_a_blur_between_phases_is_seen():
    """Uniform values between both phases: W1 is a quarter of their difference."""
    data = torch.tensor([3.0, 12.0]).repeat(5000)[None]
    blur = torch.linspace(3, 12, 10000)[None]
    assert one_point_distance(blur, data, 9.0, None) == pytest.approx(0.25, abs=1e-4)


def test_other_counts_of_the_same_values_are_alike():
    data = normal(4, 8, 8)
    assert one_point_distance(torch.cat([data] * 3), data, 1.0, None) < 1e-12


def test_on_a_sphere_a_node_counts_by_its_area():
    """A shift of one latitude counts by that latitude's share."""
    grid = Grid.sphere(8)
    weights = node_weights(grid)
    assert weights is not None
    data = torch.zeros(2, *grid.shape)
    samples = data.clone()
    samples[:, 0] = 1.0
    share = float(weights[0].sum() / weights.sum())
    assert one_point_distance(samples, data, 1.0, weights) == pytest.approx(share, rel=1e-9)


def own_of(name: str, size: int, count: int = 3) -> tuple[OwnSolution, dict[str, torch.Tensor]]:
    from piddm.data.simulate import simulate

    pde = get_pde(name)
    grid = pde.grid.resized(size)
    (fields,) = simulate(pde, grid, count, torch.Generator().manual_seed(0))
    residual = pde.bind(grid)
    data = {k: fields[k] for k in pde.field_names}
    packing = Packing(grid, tuple(pde.field_names)).fit(data)
    own = own_solutions(pde, residual, packing, term_scale(residual, fields))
    assert own is not None
    return own, fields


@pytest.mark.parametrize(
    "name", ["poisson", "darcy", "burgers", "stokes", "sphere-poisson", "sphere-allen-cahn"]
)
def test_a_state_finds_back_to_the_solution_of_its_inputs(name):
    """The solution is spoilt and the inputs kept: what is found is the data it came from."""
    own, fields = own_of(name, 16)
    spoilt = {}
    for key, value in fields.items():
        if key not in own.given:  # a param
            spoilt[key] = value
            continue
        given = torch.from_numpy(own.given[key])
        noise = 0.1 * value.std() * normal(*value.shape).double()
        spoilt[key] = torch.where(given, value, value + noise)
    solved, found = own(spoilt)
    assert bool(found.all())
    for key, value in fields.items():
        error = float((solved.get(key, value) - value).norm() / value.norm())
        assert error < 1e-6, (name, key, error)


@pytest.mark.parametrize("name", ["poisson", "sphere-poisson"])
def test_inconsistency_is_the_relative_error_of_the_solution(name):
    """Poisson's solution, 7 % too large, with its forcing as it was; on a sphere by harmonics."""
    own, fields = own_of(name, 16)
    scale = {k: 1.0 for k in fields}
    (solution,) = (k for k in fields if not own.given[k].all())
    wrong = {k: 1.07 * v if k == solution else v for k, v in fields.items()}
    torch.testing.assert_close(
        inconsistency(own, wrong, scale), torch.full((3,), 0.07, dtype=torch.float64),
        rtol=1e-6, atol=0,
    )  # fmt: skip
    assert float(inconsistency(own, fields, scale).max()) < 1e-8


def test_a_mean_that_no_solution_has_counts_for_what_it_is():
    """On a torus the vorticity's mean is zero; drawn with another, it is solved for beside it."""
    own, fields = own_of("navier-stokes", 8)
    scale = {k: 1.0 for k in fields}
    rounded = {k: v.float() for k, v in fields.items()}  # the mean is not zero to the last digit
    assert float(inconsistency(own, rounded, scale).max()) < 1e-6
    size = torch.stack([v.square().sum((1, 2, 3)) for v in fields.values()]).sum(0).sqrt()
    later = fields["w"].clone()
    later[:, 1:] += 0.01
    expected = 0.01 * later[0, 1:].numel() ** 0.5 / size
    found = inconsistency(own, fields | {"w": later}, scale)
    torch.testing.assert_close(found, expected.double(), rtol=1e-6, atol=0)
    # Where the inputs have it, constants take it up, which move the mean by about as much.
    found = inconsistency(own, fields | {"w": fields["w"] + 0.01}, scale)
    assert bool((found > 0.2 * expected).all())
    assert bool((found < 2.5 * expected).all())


def test_a_sample_without_a_solution_counts_one_and_spoils_no_other():
    """A medium that vanishes leaves the pressure open; its neighbours are solved."""
    own, fields = own_of("darcy", 16)
    bad = {k: v.clone() for k, v in fields.items()}
    bad["a"][1] = 0.0
    found = inconsistency(own, bad, {"a": 1.0, "u": 1.0})
    assert float(found[1]) == 1.0
    assert float(found[[0, 2]].max()) < 1e-8


def scores(**changed: object) -> Scores:
    plain: dict[str, object] = {
        "pde_error": 1.0, "pde_error_normalised": 1.0, "pde_error_by_row": {"r": 1.0},
        "constraint_distance": 0.1, "mmse": 0.1, "smse": 0.1, "energy_distance": 0.01,
        "nfe": 0, "seconds_per_sample": None, "count": 8, "distance_count": 8, "seed": 0,
    }  # fmt: skip
    return Scores.model_validate(plain | changed)


def test_means_over_draws_have_standard_errors():
    draws = [scores(energy_distance=v, one_point_by_field={"u": v}) for v in (1.0, 2.0, 3.0)]
    mean = mean_scores(draws)
    assert mean.energy_distance == pytest.approx(2.0)
    assert mean.one_point_by_field == {"u": pytest.approx(2.0)}
    assert mean.errors["energy_distance"] == pytest.approx(1 / 3**0.5)
    assert mean.draws == 3
    assert "spectrum_distance" not in mean.errors  # nobody measured it
    assert mean_scores(draws[:1]) == draws[0]


def test_registered_metrics_have_means_and_rows_of_their_own():
    draws = [scores(more={"beyond-range": v, "gone": v}) for v in (1.0, 3.0)]
    mean = mean_scores(draws)
    assert mean.more == {"beyond-range": 2.0, "gone": 2.0}
    assert mean.errors["gone"] == pytest.approx(1.0)
    _, rows = score_table({"truth": mean, "student": scores()})
    assert ["values beyond the range, worst field", "2 ± 1", "-"] in rows
    assert ["gone", "2 ± 1", "-"] in rows  # whoever registered it is not there any more


def test_values_beyond_the_range_of_data_are_counted(tiny_run):
    """A tenth of the values of one field leave the range by its width, no others."""
    data = {"u": torch.linspace(-1, 2, 40).view(4, 10).double()}
    samples = {"u": data["u"].clone()}
    samples["u"][:, 3] += 3.0
    packing = SimpleNamespace(names=("u",))
    given = SimpleNamespace(sample_fields=samples, data_fields=data, packing=packing)
    assert beyond_range(given) == pytest.approx(0.1)
    samples["u"] = data["u"] * (1 + 1e-8)
    assert beyond_range(given) == 0
    assert 0 <= tiny_run.metrics["student"].more["beyond-range"] <= 1


def test_tables_show_floors_with_their_error():
    header, rows = score_table({"truth": mean_scores([scores(mmse=1.0), scores(mmse=3.0)])})
    assert ["MMSE (mean)", "2 ± 1"] in rows
    assert header == ["", "truth"]


@pytest.mark.parametrize(
    ("student", "word"), [(0.02, "beats"), (0.2, "beaten"), (0.105, "no better and no worse")]
)
def test_the_verdict_compares_with_the_best_baseline_of_as_many_samples(student, word):
    metrics = Metrics(
        truth=scores(errors={"energy_distance": 0.005}),
        teacher=scores(),
        student=scores(nfe=1, energy_distance=student),
        baselines={
            "gaussian": scores(energy_distance=0.3),
            "solved": scores(energy_distance=0.1),
            "student's inputs, solved": scores(nfe=1, energy_distance=0.001),
            "few": scores(energy_distance=0.001, count=4),
        },
    )
    first = verdict(metrics)[0]
    assert word in first
    assert "solved" in first


@pytest.mark.parametrize(
    ("student", "teacher", "preset", "said"),
    [
        (0.11, 0.2, "default", "as near to the data as other data are: energy distance 0.11"),
        (0.11, 0.2, "default", "nearer than a Gaussian of the data (0.3) and nearer than its tea"),
        (0.11, 0.2, "default", "more training would hardly show"),
        (0.2, 0.2, "default", "farther from the data than other data are, by 10 spreads"),
        (0.2, 0.2, "default", "as near as its teacher (0.2)"),
        (0.2, 0.2, "default", "raise teacher.steps (now 800) or data.train (now 2,048)"),
        (0.25, 0.2, "default", "behind its teacher; raise student.steps"),
        (0.25, 0.2, "quick", "--preset default"),
        (0.4, 0.2, "default", "farther than a Gaussian of the data (0.3) and farther than its tea"),
        (0.2, 0.2, "default", "is 2 as drawn, 0.001 after the correction, 1 in the data"),
    ],
)
def test_the_judgement_says_how_good_a_run_is_and_what_to_do_next(student, teacher, preset, said):
    """The spread of a draw is the error of a mean over four, times two: 0.01."""
    metrics = Metrics(
        truth=scores(energy_distance=0.1, draws=4, errors={"energy_distance": 0.005}),
        teacher=scores(nfe=9, energy_distance=teacher),
        student=scores(nfe=1, energy_distance=student, pde_error_normalised=2.0),
        baselines={
            "gaussian": scores(energy_distance=0.3),
            "student, corrected": scores(nfe=1, pde_error_normalised=1e-3),
        },
    )
    config = resolve("burgers", preset)
    assert said in " ".join(judgement(metrics.scores(), config))
    assert list(metrics.scores())[:4] == ["truth", "gaussian", "teacher", "student"]


def test_old_records_are_read():
    old = scores().model_dump()
    new = ("one_point_distance", "one_point_by_field", "spectrum_distance", "self_consistency",
           "solved_count", "draws", "errors", "more")  # fmt: skip
    assert Scores.model_validate({k: v for k, v in old.items() if k not in new}) == scores()


def test_a_grid_of_one_axis_has_no_weights():
    assert node_weights(Grid(x=Axis(0, 1, 8, periodic=True))) is None


@pytest.mark.parametrize(
    ("drawn", "own", "said"),
    [
        (0.11, 0.01, "a draw of the law, solved, which is as good or better, takes 0.11 s"),
        (0.11, 0.01, "the training, 111 s, is paid after 1,110 samples"),
        (0.005, 0.01, "is never paid"),
    ],
)
def test_a_student_has_paid_for_its_training_after_so_many_samples(drawn, own, said):
    metrics = Metrics(
        truth=scores(errors={"energy_distance": 0.001}),
        teacher=scores(),
        student=scores(nfe=1, energy_distance=0.02, seconds_per_sample=own),
        baselines={"gaussian": scores(energy_distance=0.3, seconds_per_sample=1e-4)},
    )
    seconds = {"simulate": 100 * drawn, "train": 60.0, "distill": 51 - 100 * drawn}
    (sentence,) = break_even(metrics, seconds, 100)
    assert said in sentence
    (alone,) = break_even(metrics, seconds, 0)  # data were read, and the fast source is far off
    assert "no source without a network is as good" in alone
    near = metrics.model_copy(
        update={"baselines": {"solved": scores(energy_distance=0.02, seconds_per_sample=0.02,
                                               pde_error_normalised=0.0)}}
    )  # fmt: skip
    assert "solved, which is as good or better" in break_even(near, seconds, 0)[0]
    assert break_even(metrics, {}, 100) == []


def test_answers_that_were_not_measured_are_told_with_the_reason():
    assert "for the training, 6.29 s, leaves no time for it" in unmeasured(6.29)
    assert "for no question was answered" in unmeasured(600.0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Answer(solver="exact", seconds=0.5, error=0.1), "is never paid"),
        (Answer(solver="classical", seconds=7.0, error=0.102), "is paid after 20 answers"),
        (Answer(solver="classical", seconds=7.0, error=0.2), "not as good, and there is nothing"),
        (Answer(solver="classical", seconds=9.0), "had none after 9 s"),
    ],
)
def test_a_student_has_paid_for_its_training_after_so_many_answers(other, said):
    own = Answer(solver="hybrid", seconds=2.0, error=0.1)
    found = Answers(field="u", sensors=30, noise=0.02, truths=2, student=own, without=other)
    sentence = answers_even(found, 100.0)
    assert said in sentence
    assert "30 sensors of u with 2 % of noise" in sentence
