"""What a residual on the posterior mean does to a teacher's training: docs/jensen_training.png.

    python benchmarks/jensen_training.py [--steps 800] [--weight 1] [--out docs]

Stokes' second problem as in ECI (arXiv 2412.01786), small. One network, one set of data, one stream
of noise, twice: by the diffusion loss only, and by that plus ``weight`` times the mean square of
the normalised residual of E[x0 | xt], as PIDM does (arXiv 2403.14404, without its weights in t).
On the same held-out noise both are then measured: diffusion loss, physics loss, and their total;
and, of samples, the normalised PDE error and the distance of their means and deviations from data.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure

from piddm import figures
from piddm.config import resolve
from piddm.data.simulate import solve
from piddm.figures.style import BLUE, INK, NORMAL, SMALL, VERMILLION, plain, readable_logarithm
from piddm.plugins import get_pde
from piddm.residuals.norms import mean_squares
from piddm.runs.model_files import build_teacher
from piddm.teachers.sampling import last
from piddm.tools.randomness import generator

NAME, SIZE, TRAIN, HELD_OUT, BATCH = "stokes", 24, 256, 64, 16
PHYSICS_BATCH = 4
"""States of a batch whose residual is in the loss: its params are fitted state by state."""

LEAST_NOISE = 0.02
"""Least sigma by which an error is divided."""


def finished(steps):
    """Run a generator of progress; return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def losses(teacher, x0, residual, scale, draw, count):
    """Return the preconditioned diffusion loss, and the physics loss of ``count`` E[x0 | xt]."""
    t = teacher.schedule.draw(len(x0), draw)
    noise = teacher.packing.colour(torch.randn(x0.shape, generator=draw))
    a, s = (v(t)[:, None, None, None] for v in (teacher.schedule.alpha, teacher.schedule.sigma))
    mean = teacher.denoise(a * x0 + s * noise, t)
    by_level = (a**2 + s**2) / s.clamp_min(LEAST_NOISE) ** 2
    diffusion = ((mean - x0).square() * by_level).mean()
    physics = sum(mean_squares(residual, teacher.packing.unpack(mean[:count]), scale).values())
    return diffusion, physics


def train(config, pde, grid, residual, scale, train_fields, held_out, weight, physics_on, steps):
    """Train one teacher; return its history on held-out noise and itself."""
    teacher = build_teacher(config, pde, grid)
    teacher.packing.fit(train_fields)
    data, other = teacher.packing.pack(train_fields), teacher.packing.pack(held_out)
    optimiser = torch.optim.AdamW(teacher.network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    history = []
    for step in range(steps):
        if step % max(1, steps // 12) == 0:
            history.append(measured(teacher, other, residual, scale, weight, step))
        draw = generator(0, "train", step)
        index = torch.randint(len(data), (BATCH,), generator=draw)
        used = residual if physics_on else lambda _: {}
        diffusion, physics = losses(teacher, data[index], used, scale, draw, PHYSICS_BATCH)
        loss = diffusion + weight * physics
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    history.append(measured(teacher, other, residual, scale, weight, steps))
    return history, teacher


@torch.no_grad()
def measured(teacher, x0, residual, scale, weight, step):
    """Return the losses on held-out data and noise that are always the same."""
    draw = generator(1, "held out")
    diffusion, physics = map(float, losses(teacher, x0, residual, scale, draw, len(x0)))
    total = diffusion + weight * physics
    return {"step": step, "diffusion": diffusion, "physics": physics, "total": total}


@torch.no_grad()
def of_samples(teacher, x0, residual, scale):
    """Return scores of samples."""
    noise = torch.randn(x0.shape, generator=generator(2, "samples"))
    x = last(teacher.sample(noise, 10))
    errors = mean_squares(residual, teacher.packing.unpack(x.double()), scale)
    return {
        "pde_error_normalised": float(sum(errors.values())),
        "mmse": float((x.mean(0) - x0.mean(0)).square().mean()),
        "smse": float((x.std(0) - x0.std(0)).square().mean()),
    }


def drawing(runs, weight):
    """Draw a panel for each loss, and in it a curve for each training."""
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    titles = {
        "diffusion": "diffusion loss",
        "physics": "physics loss of $E[x_0|x_t]$",
        "total": f"diffusion + {weight:g} × physics",
    }
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        for (label, run), colour in zip(runs.items(), (BLUE, VERMILLION), strict=True):
            history = run["history"]
            steps, values = [h["step"] for h in history], [h[name] for h in history]
            axes.plot(steps, values, color=colour, linewidth=1.5, label=label)
        axes.set_yscale("log")
        axes.set_xlabel("step", fontsize=SMALL, color=INK)
        axes.set_title(title, fontsize=NORMAL, color=INK, loc="left")
        plain(axes)
        readable_logarithm(axes, "y")
        if name == "diffusion":
            axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--weight", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    asked = parser.parse_args()
    pde = get_pde(NAME)
    config = resolve(NAME, "quick", None, [f"data.size={SIZE}"], None)
    grid = config.data.grid(pde.grid)
    residual = pde.bind(grid)
    made = finished(solve(pde, grid, TRAIN + HELD_OUT, 0))
    train_part, held_out = made.split(HELD_OUT)
    fields, other = ({k: d.fields[k] for k in pde.field_names} for d in (train_part, held_out))
    runs = {}
    for label, on in (("diffusion loss only", False), ("with the mean's residual", True)):
        start = time.perf_counter()
        history, teacher = train(
            config, pde, grid, residual, train_part.scale, fields, other, asked.weight, on,
            asked.steps,
        )  # fmt: skip
        scores = of_samples(teacher, teacher.packing.pack(other), residual, train_part.scale)
        runs[label] = {"history": history, "samples": scores}
        print(f"{label}, {time.perf_counter() - start:.0f} s:", history[-1], scores)
    figures.save(drawing(runs, asked.weight), asked.out / "jensen_training.png")
    target = asked.out / "jensen_training.json"
    target.write_text(json.dumps({"weight": asked.weight, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
