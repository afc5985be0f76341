#!/usr/bin/env bash
# Pin what the images install: docker/requirements/*.txt, with hashes, from pyproject.toml.
#
# The platform is that of the images (Debian bookworm: Python 3.11, glibc 2.36), whatever machine
# this runs on, so no line needs a marker and pip can install with --no-deps.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  .venv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-annotate \
    --python-version 3.11 --python-platform x86_64-manylinux_2_36 \
    --custom-compile-command 'make lock' "$@"
}

# What builds our own wheel; the same range as pyproject's [build-system].
echo 'hatchling>=1.27' | compile --output-file docker/requirements/build.txt -
for extra in operator runtime tpu; do
  compile --extra "$extra" --output-file "docker/requirements/$extra.txt" pyproject.toml
done
