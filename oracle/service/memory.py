"""Memory that one large message freed is kept for the next."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Names of malloc.h."""

KEPT = 2**28
"""Bytes that may be kept: a few messages of the largest size, and what is computed from them."""

LARGEST = 2**25
"""Bytes of the largest block that comes from what is kept: glibc takes no higher threshold."""


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory; without glibc nothing changes.

    By default the memory of an array of some megabytes goes back to the system as soon as it is
    free, and the system clears every page of it when it is asked again: for a message of 32 MB that
    takes longer than sending it. Threads share one heap, or each would keep its own.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # Another C library; TypeError is Windows.
        return
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, LARGEST)
    mallopt(M_TRIM_THRESHOLD, KEPT)
