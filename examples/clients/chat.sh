#!/usr/bin/env bash
# The same by curl: a whole answer, then one that comes in server-sent events.
set -euo pipefail
url=${OPENAI_BASE_URL:-http://127.0.0.1:8000/v1}
model=$(curl -sSf "$url/models" | sed 's/[^[]*\[{"id":"\([^"]*\)".*/\1/')  # the first
body='"model": "'$model'", "max_tokens": 24, "temperature": 0,
  "messages": [{"role": "user", "content": "What is the capital of France?"}]'

curl -sSf "$url/chat/completions" --json "{$body}"
echo
curl -sSfN "$url/chat/completions" --json "{$body, \"stream\": true}"
