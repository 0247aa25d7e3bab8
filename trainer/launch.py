"""`python -m trainer.launch`: several workers on one machine; see `trainer.distribution.launcher`."""

import sys

from trainer.distribution.launcher import main

if __name__ == "__main__":
    sys.exit(main())
