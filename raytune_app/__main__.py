"""`python -m raytune_app` is the same program as `raytune`."""

import sys

from raytune_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
