#!/usr/bin/env bash
# Run the folders of tests given, having brought what slow and e2e tests need: the demo model, a
# browser or curl, a cluster (KUBECONFIG's, else the local one) and the images in it. Unit tests run
# on all cores, e2e tests one after another: they share the cluster.
#
# Long steps happen here and not in a fixture, so that their progress shows. A local cluster that was
# not up before is taken down afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

down_quietly() {
  local said
  said=$("$python" -m hack.cluster down 2>&1) || echo "$said" >&2
}

local=$("$python" -m hack.cluster kubeconfig)
if [ "${KUBECONFIG:-$local}" = "$local" ]; then
  if ! "$python" -m hack.cluster status >/dev/null 2>&1; then
    trap down_quietly EXIT
    "$python" -m hack.cluster up >/dev/null
  fi
  "$python" -m hack.images load >/dev/null
fi
.venv/bin/radixloom fetch demo >/dev/null
for tests in "$@"; do
  case $tests in
  tests/unit*) "$python" -m hack.browser >/dev/null ;;
  tests/clients*) "$python" -m hack.programs curl >/dev/null ;;
  esac
done
failed=0
for tests in "$@"; do
  workers=0
  case $tests in tests/unit*) workers=auto ;; esac
  .venv/bin/pytest "$tests" -n "$workers" || failed=$?
done
exit "$failed"
