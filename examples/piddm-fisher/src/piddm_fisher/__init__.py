"""Fisher's equation between walls, as a plugin of piddm."""

from piddm import hookimpl

PIDDM_API = 1


@hookimpl
def piddm_register_pdes(register):
    """Announce the equations; their file is imported only when one is asked for."""
    where = "piddm_fisher.equation"
    register.lazy(
        "fisher-walls",
        "1-D Fisher-KPP between walls that nothing crosses",
        f"{where}:FISHER",
    )
    register.lazy(
        "fisher-walls-rate",
        "1-D Fisher-KPP between walls, each sample with a growth rate of its own",
        f"{where}:FISHER_RATE",
    )
