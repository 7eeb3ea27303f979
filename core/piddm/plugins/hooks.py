"""The hooks that a plugin may implement, and their version."""

from __future__ import annotations

import pluggy

from piddm.plugins.registers import (
    AblationRegister,
    EquationRegister,
    MethodRegister,
    ModelRegister,
)

GROUP = "piddm"
"""Group of the entry points of plugins; the name of piddm's own plugin, too."""

API = 1
"""Version of the hooks and of what they are handed; a plugin may state its own as ``PIDDM_API``."""

_hookspec = pluggy.HookspecMarker(GROUP)


class Hooks:
    """The hooks that a plugin may implement, each marked with ``piddm.hookimpl``."""

    @_hookspec
    def piddm_register_pdes(self, register: EquationRegister) -> None:
        """Name the plugin's equations, with ``register(pde)`` or ``register.lazy(...)``."""

    @_hookspec
    def piddm_register_teachers(self, register: MethodRegister) -> None:
        """Name teachers, for ``teacher.name``.

        Each is called as ``build(network, packing, schedule, **settings)`` and returns a
        :class:`piddm.interfaces.Teacher` that keeps all three under these names.
        """

    @_hookspec
    def piddm_register_students(self, register: MethodRegister) -> None:
        """Name students, for ``student.name``.

        Each is called as ``build(teacher, **settings)``, with the equation as ``pde`` and the run's
        configuration as ``config`` where it has arguments of these names, and returns a
        :class:`piddm.interfaces.Student` that keeps the teacher's ``packing``.
        """

    @_hookspec
    def piddm_register_methods(self, register: MethodRegister) -> None:
        """Name ways to draw samples under an equation, which ``piddm bench`` compares.

        Each is called as ``build(context, **settings)`` with a
        :class:`piddm.interfaces.TrainingContext` and returns a :class:`piddm.interfaces.Method`.
        """

    @_hookspec
    def piddm_register_solvers(self, register: MethodRegister) -> None:
        """Name ways to answer tasks; each makes a :class:`piddm.interfaces.Solver`."""

    @_hookspec
    def piddm_register_backbones(self, register: MethodRegister) -> None:
        """Name networks, for ``network.name``.

        Each is called as ``build(channels, image, periodic, widths=, depth=, fold=, mixed=,
        **settings)`` and returns a module that maps ``(batch, channels, *image)`` and times
        ``(batch,)`` to ``(batch, 2 * channels, *image)``.

        On a sphere, and only there, ``spherical=True`` comes with it: the image is then latitudes
        from south to north by longitudes, and beyond a pole a field goes on half a turn away
        (:func:`piddm.networks.unet.over_poles`). A backbone without this argument is not taken.
        """

    @_hookspec
    def piddm_register_metrics(self, register: MethodRegister) -> None:
        """Name metrics, with ``register(name, label, function)``; tables show the label.

        Each is called with a :class:`piddm.interfaces.Comparison` of samples and held-out data, and
        returns a number, or None where it says nothing of the equation. Its values are in
        ``metrics.json`` under ``more``; less is better, or the label says otherwise.
        """

    @_hookspec
    def piddm_register_commands(self, register: MethodRegister) -> None:
        """Name commands: functions whose signature typer reads."""

    @_hookspec
    def piddm_register_models(self, register: ModelRegister) -> None:
        """Name trained models, with ``register(name, summary, folder)``.

        A folder is one that :func:`piddm.runs.model_weights.make` wrote. A model is opened by
        ``piddm.load_model(name)`` and by ``--model NAME`` of ``piddm sample`` and ``piddm solve``.
        """

    @_hookspec
    def piddm_register_readers(self, register: MethodRegister) -> None:
        """Name readers of files; each is a class derived from :class:`piddm.interfaces.Reader`.

        A file is read by the first that knows it, by its content: those of plugins are asked first.
        """

    @_hookspec
    def piddm_register_trackers(self, register: MethodRegister) -> None:
        """Name trackers of experiments, for ``--track``.

        Each is called as ``build(run)`` before a run's first step and returns a
        :class:`piddm.interfaces.Tracker`.
        """

    @_hookspec
    def piddm_register_ablations(self, register: AblationRegister) -> None:
        """Name ablations of ``piddm bench``, with ``register(name, question, labels)``.

        One that has the name of piddm's own adds its competitors to that.
        """


KIND_OF = {
    "piddm_register_pdes": "equation",
    "piddm_register_teachers": "teacher",
    "piddm_register_students": "student",
    "piddm_register_methods": "method",
    "piddm_register_solvers": "solver",
    "piddm_register_backbones": "backbone",
    "piddm_register_metrics": "metric",
    "piddm_register_commands": "command",
    "piddm_register_models": "model",
    "piddm_register_readers": "reader",
    "piddm_register_trackers": "tracker",
    "piddm_register_ablations": "ablation",
}
"""The kind that each hook brings."""
