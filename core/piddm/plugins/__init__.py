"""Plugins: the hooks they may implement, a guarded loader, built-ins, and a package to begin with.

Nothing here imports torch or sympy, so that listings are instant.
"""

from piddm.plugins.contracts import one_line
from piddm.plugins.loader import (
    DISABLE,
    Plugins,
    current,
    files_in_use,
    get_pde,
    list_pdes,
    list_plugins,
    reset,
    use_files,
)
from piddm.plugins.records import PDEEntry, PluginRecord

__all__ = [
    "DISABLE", "PDEEntry", "PluginRecord", "Plugins", "current", "files_in_use", "get_pde",
    "list_pdes", "list_plugins", "one_line", "reset", "use_files",
]  # fmt: skip
