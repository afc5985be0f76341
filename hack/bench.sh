#!/usr/bin/env bash
# The figures of this machine: parts alone, then a server with the demo model, started for it.
#
# Other engines stay out (bench/workloads.py --peers): they are downloaded, or compiled.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-8123}
url=http://127.0.0.1:$port

model=$(.venv/bin/radixloom fetch demo)
for script in scheduler_step http_layer; do
  echo "→ bench/$script.py"
  .venv/bin/python "bench/$script.py"
done

echo "→ bench/workloads.py (starts servers of its own)"
.venv/bin/python bench/workloads.py "$model" --starts

log=$(mktemp)
.venv/bin/radixloom serve --host 127.0.0.1 --port "$port" >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null && wait "$server" || true' EXIT
echo "→ radixloom serve on port $port (pid $server, log $log)"
for script in goldens shared_prefix; do # each waits until the server is ready
  echo "→ bench/$script.py"
  .venv/bin/python "bench/$script.py" --url "$url"
done
echo "→ radixloom bench"
.venv/bin/radixloom bench --url "$url/v1" --num-prompts 32 --max-concurrency 16
