"""Rivals and variants of the method, each in a file of its own, written from its paper.

Every one takes any registered equation's residual. ``piddm bench`` compares them on equal terms.
"""

from piddm import hookimpl

METHODS: dict[str, tuple[str, str]] = {
    "pidm": (
        "the teacher trained further with the residual of its posterior mean",
        "pidm:Pidm",
    ),
    "pidm-sampled": (
        "the teacher trained further with the residual of samples of a few steps",
        "pidm:SampledPidm",
    ),
    "pbfm": (
        "the teacher trained further with residuals of samples, gradients free of conflict",
        "pbfm:Pbfm",
    ),
    "eci": (
        "estimates of the teacher, corrected at every noise level and noised again",
        "eci:Eci",
    ),
    "pcfm": (
        "the flow's end, projected at every step",
        "pcfm:Pcfm",
    ),
    "projected-diffusion": (
        "Langevin steps at falling noise levels, each projected",
        "projected_diffusion:ProjectedDiffusion",
    ),
    "diffusion-pde": (
        "the flow led by the gradient of its estimate's residual",
        "diffusion_pde:DiffusionPDE",
    ),
    "d-flow": ("noise optimised through the whole flow", "d_flow:DFlow"),
    "cocogen": ("steps down the residual's slope at the end of the flow", "cocogen:CoCoGen"),
}
"""Name to summary and location in this package."""

STUDENTS: dict[str, tuple[str, str]] = {
    "reflow": (
        "straight lines between noise and the teacher's samples; one Euler step",
        "reflow:ReflowStudent",
    ),
    "consistency": (
        "every state along the teacher's flow is sent to its end",
        "consistency:ConsistencyStudent",
    ),
    "dmd": (
        "pulled to the teacher's law by the difference of two scores, and to its pairs",
        "distribution_matching:DistributionMatchingStudent",
    ),
    "diff-instruct": (
        "pulled to the teacher's law by the difference of two scores; no pairs",
        "distribution_matching:diff_instruct",
    ),
    "two-step": (
        "two Euler steps of the teacher's flow, trained end to end",
        "few_step:two_step",
    ),
    "four-step": (
        "four Euler steps of the teacher's flow, trained end to end",
        "few_step:four_step",
    ),
}
"""The same of students."""

EARLIER: dict[str, tuple[str, ...]] = {
    "reflow": (
        "reflow.ReflowStudent b89817514d748fc5",
        "reflow.ReflowStudent 3c8af78f7ac2ff51",
        "reflow.ReflowStudent 86d7fab9c70ad38b",
        "reflow.ReflowStudent 6793797faf2e6377",
    ),
    "consistency": (
        "consistency.ConsistencyStudent cb2a9dcffb34b910",
        "consistency.ConsistencyStudent 4f87d522d08d1bf1",
        "consistency.ConsistencyStudent 48e3bfd23f8a6f43",
        "consistency.ConsistencyStudent 9bffcd707bfdeba1",
        "consistency.ConsistencyStudent c9500341bb94fc60",
    ),
    "dmd": (
        "distribution_matching.DistributionMatchingStudent 4ba266943bf20e7f",
        "distribution_matching.DistributionMatchingStudent 1f12631b8ba7d2f1",
        "distribution_matching.DistributionMatchingStudent 267eaa5a2e957a24",
        "distribution_matching.DistributionMatchingStudent 410f7d7b7bb5d55b",
    ),
    "diff-instruct": (
        "distribution_matching.diff_instruct b379f16a3d726ec5",
        "distribution_matching.DiffInstructStudent 725431248b7d4767",
    ),
    "two-step": ("few_step.TwoStepStudent c9b8c3460f4ac250",),
    "four-step": ("few_step.FourStepStudent 5103474ac21c2392",),
}
"""Students' earlier sources that gave the same results, by name: their runs stay valid."""


ABLATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "draws": (
        "Means over four draws of noise.",
        {"projected-diffusion": "projected-diffusion+draws=4"},
    ),
    "refinement": (
        "Refined noise of the teacher's flow.",
        {
            "d-flow, 1 iteration": "d-flow:iterations=1",
            "d-flow, 5 iterations": "d-flow:iterations=5",
            "d-flow, 20 iterations": "d-flow:iterations=20",
        },
    ),
}
"""Rows of piddm's own ablations, by name: question, and competitors by what is shown."""


@hookimpl
def piddm_register_ablations(register):
    """Name the rivals' rows in ablations."""
    for name, (question, labels) in ABLATIONS.items():
        register(name, question, labels)


@hookimpl
def piddm_register_methods(register):
    """Name the rivals."""
    for name, (summary, location) in METHODS.items():
        register.lazy(name, summary, f"piddm_baselines.{location}")


@hookimpl
def piddm_register_students(register):
    """Name the variants of the student."""
    for name, (summary, location) in STUDENTS.items():
        earlier = [f"piddm_baselines.{source}" for source in EARLIER.get(name, ())]
        register.lazy(name, summary, f"piddm_baselines.{location}", earlier)
