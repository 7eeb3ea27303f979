"""Fields of a few values: softened for networks, rounded after them."""

import math

import pytest
import torch

from piddm import get_pde
from piddm.config import PackingConfig
from piddm.data.levels import levels_of, rounded, softened
from piddm.data.packing import Packing
from piddm.data.simulate import simulate
from piddm.networks.head import respond
from piddm.runs.workspace import fixed_inputs

DARCY = get_pde("darcy")


def test_levels_are_found_where_they_are_few():
    found = levels_of(torch.tensor([[3.0, 12.0], [12.0, 3.0]]))
    assert found is not None
    assert found.tolist() == [3.0, 12.0]
    assert levels_of(torch.linspace(0, 1, 9)[:, None]) is None
    assert levels_of(torch.ones(4, 5)) is None


def test_a_flat_interface_has_the_profile_of_the_formula():
    """Along a row of a half plane the distance to the interface is known."""
    field = torch.full((1, 8, 8), 3.0)
    field[:, :, 4:] = 12.0
    soft = softened(field, torch.tensor([3.0, 12.0]), 2.0, (False, False))
    for column in range(8):
        d = column - 3.5
        expected = 7.5 + 4.5 * d / math.sqrt(d * d + 4.0)
        assert soft[0, 5, column].item() == pytest.approx(expected, rel=1e-6)


def test_a_periodic_axis_has_an_interface_at_its_seam():
    field = torch.full((1, 8, 8), 3.0)
    field[:, :, 4:] = 12.0
    soft = softened(field, torch.tensor([3.0, 12.0]), 2.0, (False, True))
    torch.testing.assert_close(soft[0, :, 0], soft[0, :, 3])
    torch.testing.assert_close(soft[0, :, 4], soft[0, :, 7])


@pytest.mark.parametrize("levels", [[3.0, 12.0], [-1.0, 0.0, 5.0], [0.0, 1.0, 2.0, 4.0]])
def test_rounding_takes_softening_back_exactly(levels):
    """On noise, where no interface is smooth and levels that are no neighbours meet."""
    draw = torch.Generator().manual_seed(0)
    values = torch.tensor(levels)
    field = values[torch.randint(len(levels), (16, 12, 12), generator=draw)]
    soft = softened(field, values, 3.0, (True, False))
    assert torch.equal(rounded(soft, values), field)
    assert float((soft - field).abs().max()) > 0.1


def test_a_sample_of_one_level_is_left_as_it_is():
    field = torch.full((1, 6, 6), 12.0)
    soft = softened(field, torch.tensor([3.0, 12.0]), 2.0, (False, False))
    torch.testing.assert_close(soft, field)


def test_rounding_passes_slopes():
    x = torch.tensor([3.4, 11.0, 7.6], requires_grad=True)
    y = rounded(x, torch.tensor([3.0, 12.0]))
    assert y.tolist() == [3.0, 12.0, 12.0]
    (slope,) = torch.autograd.grad((y * torch.tensor([1.0, 2.0, 3.0])).sum(), x)
    assert slope.tolist() == [1.0, 2.0, 3.0]


@pytest.fixture(scope="module")
def medium() -> tuple[Packing, dict[str, torch.Tensor]]:
    grid = DARCY.grid.resized(16)
    (fields,) = simulate(DARCY, grid, 160, chunk=160, generator=torch.Generator().manual_seed(0))
    return Packing(grid, DARCY.field_names, rank=32, soften=2.0).fit(fields), fields


def test_a_packing_finds_the_medium_and_gives_it_back(medium):
    packing, fields = medium
    assert {k: v.tolist() for k, v in packing.field_levels().items()} == {"a": [3.0, 12.0]}
    soft = packing.unpack(packing.targets(fields))
    assert torch.equal(soft["a"].double(), fields["a"])
    torch.testing.assert_close(soft["u"].double(), fields["u"], rtol=1e-5, atol=1e-7)
    inside = packing.relaxed(packing.targets(fields))["a"]
    assert float(inside.min()) > 3
    assert float(inside.max()) < 12
    sharp = packing.sharp(packing.targets(fields))
    torch.testing.assert_close(sharp, packing.pack(fields), rtol=1e-4, atol=1e-5)


def test_components_leave_the_medium_out_and_the_gate_is_its_own(medium):
    packing, fields = medium
    assert packing.rank() == 32
    assert float(packing.components.view(32, 2, -1)[:, 0].abs().max()) == 0

    def network(x, t):  # no offset, a gate everywhere
        return torch.cat([torch.zeros_like(x), torch.ones_like(x)], dim=1)

    x = packing.targets(fields)
    answer = respond(packing, network, x, torch.ones(len(x)))  # pyright: ignore
    assert float(answer[:, 0].abs().max()) > 0.1
    assert float(answer[:, 1].abs().max()) == 0


def test_noise_has_the_variance_of_the_softened_data(medium):
    packing, fields = medium
    white = torch.randn(4000, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    coloured, data = packing.colour(white), packing.targets(fields)
    for channel in (0, 1):
        ratio = float(coloured[:, channel].square().mean() / data[:, channel].square().mean())
        assert ratio == pytest.approx(1, rel=0.05)


def test_an_equation_keeps_its_medium_where_states_move(medium):
    packing, _ = medium
    fixed = fixed_inputs(DARCY, packing)
    assert list(fixed) == ["a"]
    assert fixed["a"].all()


def test_levels_are_kept_with_the_weights(medium):
    packing, _ = medium
    other = Packing(packing.grid, DARCY.field_names, rank=32, soften=2.0)
    other.load_state_dict(packing.state_dict())
    assert torch.equal(other.field_levels()["a"], packing.field_levels()["a"])


def test_without_the_setting_nothing_is_there_of_it():
    """Models of before have no levels in their files, and configurations no word of it."""
    plain = Packing(DARCY.grid.resized(16), DARCY.field_names)
    assert "levels" not in plain.state_dict()
    assert plain.field_levels() == {}
    assert PackingConfig().model_dump() == {"rank": 256}
    assert PackingConfig(soften=2.0).model_dump()["soften"] == 2.0
