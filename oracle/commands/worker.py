"""One process of `gradient-oracle serve --workers`, which is told everything on standard input."""

from __future__ import annotations

import json
import logging
import signal
import sys

from oracle.commands.serve import begin, serve
from oracle.service.ports import CannotServe
from oracle.service.settings import Settings
from oracle.service.workers import end_with_parent, read_line

_LOG = logging.getLogger(__name__)


def main() -> int:
    """Serve as told until there is a signal, or the process that started this one is gone."""
    told = json.loads(read_line())
    signals = begin(told["log_level"])
    end_with_parent(lambda: signals.append(signal.SIGTERM))
    try:
        serve(Settings(**told["settings"]), told["grace"], signals)
    except CannotServe as error:
        _LOG.error("cannot serve", extra={"reason": str(error)})
        return 1
    _LOG.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
