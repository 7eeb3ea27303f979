"""ONNX Runtime for browsers, from its npm package, kept small enough for one page.

The package is fetched once by npm and kept; its digest is told here, so that it is this one. The
file of WebAssembly is 8 MB and one of LZMA's 1.4 MB, which the page unpacks by itself (gzip's,
which browsers unpack, would be 2.2 MB).
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from piddm.runs.folder import home
from piddm.tools.atomic import atomic_path
from piddm.tools.errors import PiddmError, UsageError

PACKAGE, VERSION = "onnxruntime-web", "1.12.1"
"""The npm package, MIT; later versions are larger and no faster for these networks."""

DIGEST = (
    "7ec0d28e44c27ea8c38157561c68c00542e20380ffb394b2cb3c9dffeb453807"
    "ece7484adb39c82abd8386bee1071ac9383febf704c605a1d5ebd0332bd3121b"
)
"""SHA-512 of the package."""

SCRIPT, MODULE = "package/dist/ort.wasm-core.min.js", "package/dist/ort-wasm-simd.wasm"
"""Its files that a page needs."""


def packed(data: bytes) -> bytes:
    """Return data as an ``.lzma`` file, which is what the page unpacks."""
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 2**24}]
    return lzma.compress(data, lzma.FORMAT_ALONE, filters=filters)


def runtime(package: Path | None, say: Callable[[str], None]) -> tuple[str, bytes, int]:
    """Return the runtime's script, its packed module, and the module's own size.

    Args:
        package: The npm package as a file; fetched by ``npm pack`` where none is given.
        say: Prints remarks.

    Raises:
        UsageError: If the file is another one.
        PiddmError: If it cannot be fetched.
    """
    folder = home() / "cache" / f"{PACKAGE}-{VERSION}"
    script, module = folder / "ort.js", folder / "ort.wasm.lzma"
    if package is not None or not (script.is_file() and module.is_file()):
        _keep(_members(package) if package else _fetched(say), script, module)
    content = module.read_bytes()
    return script.read_text(), content, len(lzma.decompress(content))


def _keep(members: dict[str, bytes], script: Path, module: Path) -> None:
    for path, content in ((script, members[SCRIPT]), (module, packed(members[MODULE]))):
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)


def _fetched(say: Callable[[str], None]) -> dict[str, bytes]:
    npm, name = shutil.which("npm"), f"{PACKAGE}@{VERSION}"
    advice = f"run 'npm pack {name}' where there is one, and give its file by --runtime"
    if npm is None:
        raise PiddmError(f"the page needs {name} and there is no npm here; {advice}")
    say(f"fetching {name} by npm")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", name, "--silent", "--ignore-scripts", "--fetch-retries=0"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        except (subprocess.SubprocessError, OSError) as error:
            raise PiddmError(f"npm could not fetch {name}; {advice}") from error
        return _members(next(Path(folder).glob("*.tgz")))


def _members(package: Path) -> dict[str, bytes]:
    """Return the two files of a package that is the one meant."""
    try:
        content = package.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {package} ({error.strerror})") from error
    if hashlib.sha512(content).hexdigest() != DIGEST:
        raise UsageError(f"{package} is not the npm package {PACKAGE} {VERSION}")
    found = {}
    with tarfile.open(package) as archive:
        for name in (SCRIPT, MODULE):
            member = archive.extractfile(name)
            assert member is not None  # the digest says what is in it
            found[name] = member.read()
    return found
