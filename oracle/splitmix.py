"""SplitMix64, the one generator here: every random choice can be repeated in any language.

Output number i (from 0) of the generator with a 64-bit seed, all arithmetic modulo 2^64:

    z = seed + (i + 1) * 0x9E3779B97F4A7C15
    z = (z xor (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z xor (z >> 27)) * 0x94D049BB133111EB
    output = z xor (z >> 31)

Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Because output
i depends on (seed, i) alone, any range of the outputs can be made without those before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAMMA = 0x9E3779B97F4A7C15
WORD = 2**64


def outputs(seed: int, begin: int, end: int) -> NDArray[np.uint64]:
    """Outputs begin <= i < end of the generator.

    Parameters
    ----------
    seed : int
        Any integer; taken modulo 2^64.
    begin, end : int
        Numbers of the first output and of the one after the last.

    Returns
    -------
    (end - begin,) uint64
        The outputs.

    Examples
    --------
    >>> outputs(1234567, 0, 3)
    array([6457827717110365317, 3203168211198807973, 9817491932198370423],
          dtype=uint64)
    """
    counter = np.arange(begin + 1, end + 1, dtype=np.uint64)
    z = counter * np.uint64(GAMMA) + np.uint64(seed % WORD)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def seed_of(seed: int, stream: int) -> int:
    """Return the seed of one of several streams of signs, which are as good as independent.

    Parameters
    ----------
    seed : int
        Any integer; taken modulo 2^64.
    stream : int
        Number of the stream, from 0.

    Returns
    -------
    int
        Output number `stream` of the generator.

    Examples
    --------
    >>> seed_of(1234567, 0)
    6457827717110365317
    """
    return int(outputs(seed, stream, stream + 1)[0])


def positive_signs(seed: int, begin: int, end: int) -> NDArray[np.bool_]:
    """Tell for begin <= i < end whether the sign of entry i is +1 (else it is -1).

    The sign of entry i is bit i mod 64 (bit 0 is the lowest) of output i div 64: 1 means +1.

    Parameters
    ----------
    seed : int
        Any integer; taken modulo 2^64.
    begin, end : int
        The range of flat indices.

    Returns
    -------
    (end - begin,) bool
        True where the sign is +1.

    Examples
    --------
    >>> positive_signs(1234567, 0, 8)
    array([ True, False,  True, False, False, False, False,  True])
    """
    first = begin // 64
    words = outputs(seed, first, -(-end // 64))
    bits = np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), bitorder="little")
    return bits[begin - 64 * first : end - 64 * first].view(np.bool_)
