"""The network of a method, trained as a student is, or read where it is there."""

from __future__ import annotations

from collections.abc import Generator as Steps

from piddm.bench.marks import seconds_of
from piddm.methods.method import Method
from piddm.runs.model_files import load_model
from piddm.runs.stages import Distillation
from piddm.tools.files import read_tensors, write_tensors
from piddm.tools.progress import Progress
from piddm.training.optimisation import Optimisation


def trained(
    job: Distillation, method: Method, name: str, mark: str
) -> Steps[Progress, None, float | None]:
    """Train a method's network, or read it; return the seconds that it took.

    Args:
        job: The run whose folder keeps the network, with the settings of a student's training.
        method: The method, with the network to be trained.
        name: Told with the progress.
        mark: The fingerprint of the method's training.
    """
    assert method.trained is not None
    path = job.folder / "method.safetensors"
    if not path.exists() or read_tensors(path, "method")[1].get("fingerprint") != mark:
        work = path.with_suffix(".checkpoint")
        work_on = Optimisation(name, method.trained, job.config.student, work, mark, job.device)
        yield from work_on.run(method.loss)
        told = {"fingerprint": mark, "seconds": str(work_on.seconds)}
        tensors = work_on.average.state_dict()
        write_tensors(path, tensors, {"piddm_kind": "method", **told})
        work.unlink(missing_ok=True)
    load_model(path, "method", method.trained, mark)
    method.trained.eval().requires_grad_(False)
    return seconds_of(path, "method")
