#!/usr/bin/env bash
# Make .venv with everything that development, the demo and the tests need.
#
# Python 3.11 first: it is the images' own. Where a Debian-like machine has Python without its venv
# module, or none, apt-get brings it if we are root; else this says what to do.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
  local name
  for name in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if "$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  return 1
}

install_python() {
  if [ -n "${PYTHON:-}" ]; then
    echo "error: $PYTHON is not Python 3.11 or later with its venv module; set PYTHON to another" >&2
    return 1
  fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: no Python 3.11 or later with its venv module was found;" \
      "install one (Debian: apt-get install python3-venv), or set PYTHON" >&2
    return 1
  fi
  echo "→ installing python3-venv with apt-get"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
}

if [ ! -x .venv/bin/python ]; then
  find_python >/dev/null || install_python
  python=$(find_python) || {
    echo "error: this suite's python3 is older than 3.11; install a newer one and set PYTHON" >&2
    exit 1
  }
  echo "→ virtual environment .venv with $("$python" --version)"
  "$python" -m venv .venv
fi
echo "→ Python packages into .venv (2 GB; some minutes the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
.venv/bin/uv pip install --python .venv --quiet -e '.[dev]'
touch .venv/.complete
