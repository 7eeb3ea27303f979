"""Every stage on a device that refuses to meet the CPU, and what a training step waits for."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

import device_steps
import on_a_device
import piddm
from piddm.numerics.algebra.blocks import BlockLayout
from tiny import tiny


@pytest.fixture(scope="module")
def there(home):
    """Call a function in the one process that has the device."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def test_a_run_is_made_on_a_device_and_answers(there):
    assert not there(on_a_device.answered)  # the steps of both trainings wait nowhere


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in piddm.list_pdes()])
def test_every_equation_is_distilled_on_a_device(there, name):
    assert not there(on_a_device.made, name)


def test_no_student_waits_for_the_device_in_a_step_of_training(there):
    """All students, both norms of the physics, and training through the correction."""
    waited = there(device_steps.every_student)
    assert len(waited) > 10
    assert not {name: where for name, where in waited.items() if where}


@pytest.mark.slow
def test_methods_sample_on_a_device_and_those_that_train_do_not_wait_for_it(there):
    waited = there(device_steps.every_method)
    assert len(waited) == 3
    assert not {name: where for name, where in waited.items() if where}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["strong", "through", "staged"])
@pytest.mark.parametrize("name", [entry.name for entry in piddm.list_pdes()])
def test_no_equation_waits_for_the_device_in_a_step_of_training(there, name, way):
    assert not there(device_steps.equation, name, way)


def test_the_only_nearest_solution_is_found_without_waiting(there):
    assert not there(on_a_device.nearest)


def test_an_equation_is_solved_for_inputs_on_a_device(there):
    there(on_a_device.solved)


def test_a_device_that_is_not_there_is_one_line():
    for name in ("cuda", "cuda:99", "nonsense", "mps"):
        if name != "cuda" or not torch.cuda.is_available():
            with pytest.raises(piddm.UsageError, match="device"):
                piddm.distill("burgers", "quick", overrides=tiny(), progress=False, device=name)


def test_blocks_tell_singular_matrices_by_what_they_return():
    """Rows that say the same leave a matrix that is singular: lifted, solved; indefinite: NaN."""
    row, column = np.array([0, 1, 2, 3, 1, 2]), np.array([0, 1, 2, 3, 2, 1])
    layout = BlockLayout(row, column, np.arange(4) // 2, np.arange(4) // 2)
    values = torch.tensor([[4.0, 4, 4, 4, 2, 2], [4, 4, 4, 4, 5, 5]], dtype=torch.float64).mT
    found = layout.solve_positive(values, torch.ones(2, 4, 1, dtype=torch.float64))
    expected = torch.tensor([1 / 4, 1 / 6, 1 / 6, 1 / 4], dtype=torch.float64)
    assert torch.allclose(found[0, :, 0], expected, rtol=1e-12, atol=0)
    assert found[1].isnan().all()
