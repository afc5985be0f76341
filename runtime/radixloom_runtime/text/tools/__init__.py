"""How models write tool calls: a short file for each format, found by name in `registry`."""
