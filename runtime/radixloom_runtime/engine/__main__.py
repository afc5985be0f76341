"""`python -m radixloom_runtime.engine`, as started by the server."""

import sys

from radixloom_runtime.engine.main import main

if __name__ == "__main__":
    sys.exit(main())
