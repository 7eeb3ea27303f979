#!/usr/bin/env bash
# The wheel and the sdist in DIST, each installed in an environment of its own, outside the
# repository, as a user would: its commands, its equations, its trained models and their files.
# Options after DIST go to pip (an index, --no-deps).
set -euo pipefail
dist=$(cd "$1" && pwd)
shift
PIDDM_HOME=$(mktemp -d)
export PIDDM_HOME
trap 'rm -rf "$PIDDM_HOME"' EXIT
cd "$PIDDM_HOME"
for package in "$dist"/piddm-*.whl "$dist"/piddm-*.tar.gz; do
    rm -rf environment && python -m venv environment
    environment/bin/pip install --quiet "$@" "$package"
    environment/bin/piddm --version
    environment/bin/piddm show burgers >/dev/null
    environment/bin/piddm sample --model burgers-64 --count 1 --out "$(basename "$package").h5"
    environment/bin/python - <<'PYTHON'
from importlib.resources import files

import piddm

assert "environment" in piddm.__file__, piddm.__file__
for room in ("view", "portable"):
    assert (files(f"piddm.{room}") / "page" / "index.html").is_file(), room
PYTHON
done
