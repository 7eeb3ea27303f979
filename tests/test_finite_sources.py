"""An equation's own ``simulate``: each sample once, so that what is learnt is not held out too."""

import dataclasses

import pytest
import torch

import piddm
from piddm import UsageError, get_pde
from piddm.tasks.synthetic import draw_truth

COUNT = 100
"""More than are made together: two chunks."""


def heat(simulate):
    own = get_pde("heat")
    return dataclasses.replace(own, grid=own.grid.resized({"t": 5, "x": 8}), simulate=simulate)


STORED = torch.randn(COUNT, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Stored:
    """What someone measured: so many samples and no more."""

    count = COUNT

    def __call__(self, pde, grid, count, generator, indices):
        return {"u": STORED[list(indices)], "nu": 0.01 * torch.ones(count, dtype=torch.float64)}


def drawn(pde, grid, count, generator):
    """New samples each time, as the signature of before says."""
    fields = torch.randn(count, *grid.shape, generator=generator, dtype=torch.float64)
    return {"u": fields, "nu": 0.01 * torch.ones(count, dtype=torch.float64)}


def the_first(pde, grid, count, generator):
    return {"u": STORED[:count], "nu": 0.01 * torch.ones(count, dtype=torch.float64)}


def some(pde, grid, count, generator):
    index = torch.randint(COUNT, (count,), generator=generator)
    return {"u": STORED[index], "nu": 0.01 * torch.ones(count, dtype=torch.float64)}


def test_a_finite_source_is_told_which_samples_it_makes():
    made = piddm.make_dataset(heat(Stored()), COUNT, progress=False)
    assert torch.equal(made.fields["u"], STORED.float())
    train, held_out = made.split(30)
    assert not (train.fields["u"][:, None] == held_out.fields["u"]).flatten(2).all(2).any()


def test_a_finite_source_has_no_more_and_no_truth_that_was_not_learnt():
    with pytest.raises(UsageError, match="has 100 samples of its own, asked are 101"):
        piddm.make_dataset(heat(Stored()), COUNT + 1, progress=False)
    pde = heat(Stored())
    with pytest.raises(UsageError, match="one that a run held out"):
        draw_truth(pde, pde.grid)


@pytest.mark.parametrize("source", [the_first, some])
def test_what_is_made_twice_is_refused(source, tmp_path):
    with pytest.raises(UsageError, match=r"made one sample twice.*let it take indices"):
        piddm.make_dataset(heat(source), COUNT, path=tmp_path / "a.h5", progress=False)
    assert not (tmp_path / "a.h5").exists()


def test_what_is_drawn_anew_needs_to_be_told_nothing():
    made = piddm.make_dataset(heat(drawn), COUNT, progress=False)
    assert len(made.fields["u"].flatten(1).unique(dim=0)) == COUNT
