"""piddm's own data sets."""

from __future__ import annotations

from piddm.data.dataset_header import SCHEMA
from piddm.data.readers.any_hdf5 import HDF5Reader
from piddm.data.readers.named_arrays import Arrays


class OwnReader(HDF5Reader):
    """HDF5 in the layout of The Well, with what it lacks; :mod:`piddm.data.dataset` reads it."""

    def knows(self, arrays: Arrays) -> bool:
        """Return whether piddm wrote it."""
        return arrays.attributes.get("schema") == SCHEMA
