"""The subcommands of `radixloom`, one module each; `cli.py` tells what a module offers."""
