"""The built-in methods, announced through the hooks that plugins use, and imported when used."""

from piddm.plugins.markers import hookimpl


@hookimpl
def piddm_register_teachers(register):
    """Name the teachers."""
    register.lazy(
        "flow",
        "flow matching with noise coloured like the data",
        "piddm.teachers.flow:FlowTeacher",
    )


@hookimpl
def piddm_register_students(register):
    """Name the students."""
    register.lazy(
        "one-step",
        "the teacher's network, called once at the noise end",
        "piddm.students.one_step:OneStepStudent",
    )
    register.lazy(
        "few-step",
        "the teacher's flow in a few Euler steps, trained end to end; student.settings.calls",
        "piddm.students.euler_steps:FewStepStudent",
    )
    register.lazy(
        "staged",
        "one network draws the inputs, another solves for the rest",
        "piddm.students.staged:StagedStudent",
    )


@hookimpl
def piddm_register_backbones(register):
    """Name the networks."""
    register.lazy("unet", "small U-Net, folded at the entrance", "piddm.networks.unet:UNet")
    register.lazy(
        "fno", "Fourier neural operator, by products of matrices", "piddm.networks.fno:FNO"
    )


@hookimpl
def piddm_register_solvers(register):
    """Name the ways to answer tasks."""
    room = "piddm.solvers"
    register.lazy(
        "latent",
        "optimise the student's noise against observations and the residual (PIDDM)",
        f"{room}.latent:LatentSolver",
    )
    register.lazy(
        "hamiltonian",
        "sample the posterior of the student's noise by Hamiltonian Monte Carlo",
        f"{room}.hamiltonian:HamiltonianSolver",
    )
    register.lazy(
        "guided",
        "sample the teacher's flow, guided by observations and the residual (DiffusionPDE)",
        f"{room}.guided:GuidedSolver",
    )
    register.lazy(
        "hybrid",
        "latent, then the nearest fields that satisfy equation and observations",
        f"{room}.hybrid:HybridSolver",
    )
    register.lazy(
        "data-space",
        "fields moved until they fit observations and equation; no model",
        f"{room}.data_space:DataSpaceSolver",
    )
    register.lazy(
        "classical",
        "the derived solver, its adjoint and the inputs' own law; no network",
        f"{room}.classical:ClassicalSolver",
    )
    register.lazy(
        "exact",
        "the posterior of a linear equation with Gaussian inputs, in closed form; no network",
        f"{room}.exact:ExactSolver",
    )
    register.lazy(
        "ensemble-kalman",
        "ensemble smoother without derivatives, each member a derived solve; no network",
        f"{room}.ensemble_kalman:EnsembleKalmanSolver",
    )
    register.lazy(
        "level-set",
        "media of phases: the field behind them is found by derivatives, its step sharpened",
        f"{room}.level_set:LevelSetSolver",
    )
    register.lazy(
        "gaussian",
        "condition the data's Gaussian law on the observations; no network, no equation",
        f"{room}.gaussian:GaussianSolver",
    )


@hookimpl
def piddm_register_methods(register):
    """Name the ways to draw samples."""
    register.lazy(
        "flow-matching",
        "the teacher's probability flow, with no physics",
        "piddm.methods.flow_matching:FlowMatching",
    )
    register.lazy(
        "gaussian",
        "the data's mean and covariance, no network",
        "piddm.methods.coloured_noise:Gaussian",
    )


@hookimpl
def piddm_register_metrics(register):
    """Name the metrics beside those that every record of scores has."""
    register.lazy(
        "beyond-range",
        "values beyond the range, worst field",
        "piddm.metrics.beyond_range:beyond_range",
    )


@hookimpl
def piddm_register_commands(register):
    """Name the commands, in the order in which the help lists them."""
    room = "piddm.cli"
    register.lazy("list-pdes", "List the equations.", f"{room}.show:list_pdes")
    register.lazy(
        "list-solvers", "List the solvers that answer tasks.", f"{room}.show:list_solvers"
    )
    register.lazy(
        "list-methods",
        "List what the benchmark compares: methods, and students.",
        f"{room}.show:list_methods",
    )
    register.lazy("plugins", "List the plugins and what each brings.", f"{room}.show:plugins")
    register.lazy("show", "Show an equation.", f"{room}.show:show")
    register.lazy(
        "models",
        "List the trained models that come with plugins, for --model of sample and solve.",
        f"{room}.models:models",
    )
    register.lazy("import", "Make a data set of a file of others.", f"{room}.given_files:import_")
    register.lazy("check", "Is this data the equation's?", f"{room}.given_files:check")
    register.lazy("simulate", "Write random solutions to HDF5.", f"{room}.distill:simulate")
    register.lazy(
        "train", "Train the teacher; distill goes on from there.", f"{room}.distill:train"
    )
    register.lazy(
        "distill", "Do all, from data to a report, that is missing.", f"{room}.distill:distill"
    )
    register.lazy(
        "sample", "Write samples of a run, or of a trained model, to HDF5.", f"{room}.sample:sample"
    )
    register.lazy("evaluate", "Score a run again.", f"{room}.sample:evaluate")
    register.lazy(
        "solve",
        "Answer a question with an ensemble: HDF5, figures and a summary.",
        f"{room}.solve:solve",
    )
    register.lazy(
        "view",
        "Open a page in the browser: samples, sensors to move, answers that follow.",
        f"{room}.view:view",
    )
    register.lazy(
        "observe",
        "Make a problem: a random solution, seen by random sensors.",
        f"{room}.observe:observe",
    )
    register.lazy(
        "calibrate",
        "Score a solver's intervals on random truths, and find the factors that make them hold.",
        f"{room}.calibrate:calibrate",
    )
    register.lazy(
        "place",
        "Say where to measure next: the sensors that tell most.",
        f"{room}.place:place",
    )
    register.lazy(
        "export",
        "Write a student as an ONNX file, or as one page that runs it in a browser.",
        f"{room}.export:export",
    )
    register.lazy(
        "push",
        "Send a run's student to the Hugging Face hub, with a page made from its scores.",
        f"{room}.push:push",
    )
    register.lazy(
        "bench",
        "Compare methods on the same data, network and budget, over several seeds.",
        f"{room}.bench:bench",
    )
    register.lazy(
        "verify",
        "Check an equation: orders, floor, gradients, boundaries.",
        f"{room}.verify:verify",
    )
    register.lazy(
        "jensen",
        "Measure Jensen's gap along the noise levels: exactly on data and, of a run, "
        "with its teacher.",
        f"{room}.jensen:jensen",
    )
    register.lazy(
        "cite", "Print the sources of the methods that a run used, as BibTeX.", f"{room}.cite:cite"
    )
    register.lazy(
        "doctor",
        "Look at the installation: versions, devices, plugins, disk.",
        f"{room}.doctor:doctor",
    )
    register.lazy(
        "new-plugin", "Write a package with an equation of your own.", f"{room}.plugins:new_plugin"
    )


@hookimpl
def piddm_register_readers(register):
    """Name the readers of files: layouts before the formats that they are in."""
    room = "piddm.data.readers"
    register.lazy("piddm", "piddm's own data sets", f"{room}.own:OwnReader")
    register.lazy(
        "pdebench", "PDEBench, all families, and PDEInvBench", f"{room}.pdebench:PDEBenchReader"
    )
    register.lazy("the-well", "The Well", f"{room}.the_well:TheWellReader")
    register.lazy("netcdf", "netCDF and zarr, through xarray", f"{room}.netcdf:NetCDFReader")
    register.lazy("hdf5", "any HDF5 file", f"{room}.any_hdf5:HDF5Reader")
    register.lazy("matlab73", "MATLAB 7.3", f"{room}.matlab:Matlab73Reader")
    register.lazy("matlab", "MATLAB 5 to 7", f"{room}.matlab:MatlabReader")
    register.lazy("apebench", "APEBench", f"{room}.apebench:APEBenchReader")
    register.lazy("npy", "an array of NumPy's", f"{room}.numpy_files:NpyReader")
    register.lazy("npz", "an archive of NumPy's arrays", f"{room}.numpy_files:NpzReader")
    register.lazy(
        "torch",
        "tensors of torch.save, neuraloperator's among them",
        f"{room}.torch_files:TorchReader",
    )


@hookimpl
def piddm_register_trackers(register):
    """Name the trackers of experiments."""
    room = "piddm.runs"
    register.lazy(
        "tensorboard", "files of events in the run's folder", f"{room}.to_tensorboard:TensorBoard"
    )
    register.lazy("wandb", "Weights & Biases, online or offline", f"{room}.to_wandb:WandB")
