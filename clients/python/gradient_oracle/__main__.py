"""The command line: `gradient-oracle`, also `python -m gradient_oracle`."""

from __future__ import annotations

import sys

from gradient_oracle import require_own_oracle


def main() -> None:
    """Run the command line, unless another file hides it."""
    try:
        require_own_oracle()
    except ImportError as error:
        sys.exit(f"Error: {error}")
    from oracle.__main__ import main as run

    run()


if __name__ == "__main__":
    main()
