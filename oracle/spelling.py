"""Which of the known names somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ALIKE = 0.75
"""Share of common letters from which on names are alike: Relux is Relu, and Conv is not Concat."""


def meant(name: str, known: Iterable[str]) -> str:
    """Return the known name that begins as a name does, or is spelled alike, or "".

    Examples
    --------
    >>> names = ["Concat", "Gemm", "LayerNormalization"]
    >>> meant("layernorm", names), meant("Gem", names), meant("Conv", names)
    ('LayerNormalization', 'Gemm', '')
    """
    names = {one.lower(): one for one in known}
    small = name.lower()
    begun = [one for one in names if len(small) > 2 and one.startswith(small)]
    found = begun or difflib.get_close_matches(small, names, 1, ALIKE)
    return names[found[0]] if found else ""
