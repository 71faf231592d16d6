"""What the descriptors of messages tell, by the words of any supported protobuf."""

from __future__ import annotations

from typing import Any


def is_repeated(field: Any) -> bool:
    """Tell whether a field holds several values; before 6.31 protobuf had a label for it."""
    try:
        return bool(field.is_repeated)
    except AttributeError:
        return bool(field.label == field.LABEL_REPEATED)
