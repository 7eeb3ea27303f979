"""Errors of windows of time: ``python benchmarks/chaining.py NAME...``.

Each NAME is a trained model or a finished run's folder whose student maps first states to films.
First states of held-out data are continued for so many windows, by the student as it is and with
every window brought onto the equation, and by the derived solver. For each window: the relative L2
distance to the solver's film (fields over their deviation), the share of it that this window adds
(the student's window against the solver's from the same state), and the root mean square of the
state over that of the data, below 1 where the equation lets it decay.
"""

import argparse
from pathlib import Path

import torch
from machine import describe

from piddm import load_model, load_run
from piddm.residuals.residual import Fields


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe())
    for name in options.names:
        run = load_run(name) if Path(name).exists() else load_model(name)
        scale = run.packing.field_scale()

        def solved(fields: Fields, run=run) -> dict[str, torch.Tensor]:
            assert run.own_solution is not None
            return run.own_solution(fields)[0]

        def apart(one: Fields, other: Fields, scale=scale) -> float:
            away = sum(((one[k] - other[k]) / scale[k]).square().flatten(1).sum(1) for k in scale)
            size = sum((other[k] / scale[k]).square().flatten(1).sum(1) for k in scale)
            return float((torch.as_tensor(away) / torch.as_tensor(size)).sqrt().mean())

        def window(film: Fields, k: int, times: int = run.grid.shape[0] - 1) -> Fields:
            return {n: v[:, k * times : (k + 1) * times + 1].double() for n, v in film.items()}

        from piddm.runs.chaining import chained

        first = solved(run.sample(options.films, options.seed))
        truth = chained(run.pde, run.grid, first, options.windows, solved)
        films = {
            "as drawn": run.chain(run.predict(first), options.windows),
            "corrected": run.chain(run.predict(first), options.windows, correct=True),
        }
        print(
            f"\n{name}\n\n| window | size | "
            + " | ".join(f"{k}, error | added" for k in films)
            + " |"
        )
        print("|---" * (2 + 2 * len(films)) + "|")
        size = {k: float(v[:, 0].double().square().mean().sqrt()) for k, v in truth.items()}
        for k in range(options.windows):
            true = window(truth, k)
            rms = sum(float(true[n].square().mean().sqrt()) / size[n] for n in size) / len(size)
            cells = [f"{rms:.2f}"]
            for film in films.values():
                own = window(film, k)
                cells += [f"{apart(own, true):.2%}", f"{apart(own, solved(own)):.2%}"]
            print(f"| {k + 1} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
