"""Which KV pages hold which tokens; pure Python."""
