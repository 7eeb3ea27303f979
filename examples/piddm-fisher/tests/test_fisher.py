# ruff: noqa: D103
"""The equations are what they say, and behave as Fisher's equation does."""

from importlib.metadata import EntryPoint

import pytest
import torch
from piddm_fisher.equation import FISHER, FISHER_RATE, u

import piddm
import piddm.testing
from piddm.plugins import Plugins


@pytest.mark.parametrize("pde", [FISHER, FISHER_RATE], ids=lambda pde: pde.name)
@pytest.mark.parametrize("check", piddm.testing.CHECKS, ids=lambda check: check.__name__)
def test_an_equation_passes(check, pde):
    check(pde)


def test_the_plugin_brings_both():
    plugins = Plugins([EntryPoint("fisher", "piddm_fisher", "piddm")])
    (record,) = plugins.records
    assert (record.status, record.error) == ("ok", "")
    assert [plugins.get_pde(name) for name in record.pdes] == [FISHER, FISHER_RATE]


def test_a_population_stays_between_nothing_and_all_and_grows():
    share = piddm.make_dataset(FISHER, 8, size=32, progress=False).fields["u"]
    assert share.min() >= 0
    assert share.max() <= 1
    total = share.mean(dim=2)
    assert bool((total.diff(dim=1) > 0).all())


def test_a_uniform_population_follows_the_logistic_curve():
    grid = FISHER.grid.resized(64)
    start = torch.tensor([0.1, 0.5])[:, None].repeat(1, 64).double()
    found = FISHER.solve({u.at(t=0): start}, grid=grid)["u"]
    time = torch.from_numpy(grid.axes["t"].coordinates())
    grown = start[:, :1] * torch.exp(4 * time)
    exact = grown / (1 - start[:, :1] + grown)
    torch.testing.assert_close(found, exact[..., None].expand_as(found), rtol=0, atol=5e-4)


def test_the_growth_rate_comes_back_from_the_population():
    data = piddm.make_dataset(FISHER_RATE, 4, size=32, progress=False)
    residual = FISHER_RATE.bind(FISHER_RATE.grid.resized(32))
    found = residual.fit({"u": data.fields["u"].double()})["r"]
    assert found.min() >= 2
    assert found.max() <= 6
    rows = residual({"u": data.fields["u"].double()})
    assert all(float(row.abs().max()) < 1e-3 for row in rows.values())
