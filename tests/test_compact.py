"""Principal components in fewer numbers: what comes back is the colour that was kept."""

import pytest
import torch

from piddm import Axis, Grid
from piddm.data.packing import Packing
from piddm.runs.compact import LEAST, TOLERANCE, compacted, expanded
from piddm.runs.model_weights import fill, keep
from piddm.tools.errors import PiddmError


def smooth(count, shape, waves=6, seed=0):
    """Random sums of products of a few cosines, smaller for shorter waves: (count, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    k = torch.arange(waves, dtype=torch.float64)
    x = torch.randn(count, *[waves] * len(shape), generator=generator, dtype=torch.float64)
    for n in shape:
        wave = (
            torch.cos(torch.pi * k[:, None] * (torch.arange(n) + 0.5) / n) / (1 + k[:, None]) ** 2
        )
        x = torch.tensordot(x, wave, dims=([1], [0]))
    return x.float()


def packing_of(shape, rank):
    grid = Grid(**{name: Axis(0, 1, n) for name, n in zip("zxy", shape, strict=False)})
    fields = {"a": smooth(600, shape), "u": smooth(600, shape, seed=1) + smooth(600, shape)}
    return Packing(grid, ("a", "u"), rank).fit(fields)


def covariance_root(packing, components):
    return packing.strengths[:, None] * components


@pytest.mark.parametrize(("shape", "rank"), [((48, 40), 36), ((6, 32, 24), 64)])
def test_what_comes_back_has_the_same_covariance_in_fewer_numbers(shape, rank):
    packing = packing_of(shape, rank)
    assert packing.rank() * packing.dimension > LEAST
    parts = compacted(packing)
    kept = sum(part.numel() for part in parts.values())
    assert kept < packing.rank() * packing.dimension / 6
    again = expanded(packing, packing.strengths, parts)
    whole, found = (
        covariance_root(packing, c).view(rank, 2, -1) for c in (packing.components, again)
    )
    for field in range(2):
        lost = (found - whole)[:, field].norm() / whole[:, field].norm()
        assert float(lost) <= TOLERANCE * 1.001
        assert float(lost) > TOLERANCE / 100  # what is left out is what was allowed


def test_a_field_without_components_and_unused_ones_take_no_room():
    packing = packing_of((64, 64), 36)
    packing.components[:, : packing.dimension // 2] = 0
    packing.strengths[20:] = 0
    packing.components[20:] = 0
    parts = compacted(packing)
    assert not any(name.startswith("0.") for name in parts)
    again = expanded(packing, packing.strengths, parts)
    assert again.shape == packing.components.shape
    assert not again[20:].any()
    assert not again[:, : packing.dimension // 2].any()


def test_few_components_are_kept_as_they_are():
    assert compacted(packing_of((12, 12), 4)) == {}


class Model(torch.nn.Module):
    """No more of a model than its packing."""

    def __init__(self, packing):
        super().__init__()
        self.packing = packing


def test_a_file_brings_the_components_back_and_damage_is_refused(tmp_path):
    packing = packing_of((48, 40), 36)
    path = tmp_path / "student.safetensors"
    keep(Model(packing), path)
    assert path.stat().st_size < packing.components.numel()  # of four bytes each in memory
    other = Model(Packing(packing.grid, packing.names, 36))
    fill(other, path)
    noise = torch.randn(8, 2, 48, 40, generator=torch.Generator().manual_seed(2))
    before, after = packing.colour(noise), other.packing.colour(noise)
    # Half precision has 11 bits, beside what is left out.
    assert float((after - before).norm() / before.norm()) < 2 * TOLERANCE
    with pytest.raises(PiddmError, match="does not fit"):
        fill(Model(Packing(packing.grid, packing.names, 20)), path)
    lacking = {**compacted(packing)}
    lacking.pop("1.2")
    with pytest.raises(KeyError):
        expanded(packing, packing.strengths, lacking)
