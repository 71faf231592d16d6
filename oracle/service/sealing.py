"""Sealing: a session that travels comes back as it was, to its own check and from its caller."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Callable, Sequence
from functools import partial

from oracle.service.reloading import Reloaded, WrongFile, read_file
from oracle.values import Checkpoint, InvalidInput, never_stop

MAGIC = b"gradient-oracle session 1\0"
SEAL_BYTES = 32
MARK_BYTES = 8
HEAD = len(MAGIC) + SEAL_BYTES + MARK_BYTES
PIECE = 2**20
"""Bytes of a token that are packed or unpacked between two looks at the caller."""
MAX_SESSION_BYTES = 2**26
"""Bound on what a token may unpack to: 2,000,000 evaluations."""

KEY_BYTES = 32
_KEY = re.compile(rb"[!-~]{32,}")
"""A line of a file of keys: 32 hexadecimal digits would be 128 bits."""


def keys_of(file: str) -> Callable[[], Sequence[bytes]]:
    """Return what returns the keys of a file, or of this process alone if there is none.

    Each line is a key. The first seals, and all open: a new one is put first, and the old one is
    taken out when no session that it sealed is left.

    Raises
    ------
    WrongFile
        If the file cannot be read, or a line is no key.
    """
    if not file:
        own = (secrets.token_bytes(KEY_BYTES),)
        return lambda: own
    return Reloaded([file], partial(_read, file)).get


def _read(file: str) -> Sequence[bytes]:
    lines = read_file("--session-key-file", file).split()
    if not lines or not all(map(_KEY.fullmatch, lines)):
        raise WrongFile(
            f"--session-key-file {file} must hold keys of at least 32 printable characters, one a "
            "line; openssl rand -hex 32 makes one"
        )
    return [hashlib.sha256(line).digest() for line in lines]


class Seal:
    """Makes tokens of sessions, and opens those that it or another with the same keys made.

    Parameters
    ----------
    keys : callable
        Returns the keys of this moment.
    """

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._keys = keys

    def close(
        self,
        turns: Sequence[bytes],
        mark: int,
        holder: str = "",
        checkpoint: Checkpoint = never_stop,
    ) -> bytes:
        """Pack the turns of a session into a token: magic, seal, mark, compressed turns.

        Parameters
        ----------
        turns : sequence of bytes
            What the caller has said.
        mark : int
            That of the ask to be answered.
        holder : str
            Who the caller is.
        checkpoint : callable
            Raises if nobody waits for the token any more.
        """
        _require_room(sum(4 + len(turn) for turn in turns))
        compressor, pieces = zlib.compressobj(6), [mark.to_bytes(MARK_BYTES, "little")]
        for turn in turns:
            checkpoint()
            pieces.append(compressor.compress(len(turn).to_bytes(4, "little") + turn))
        pieces.append(compressor.flush())
        body = b"".join(pieces)
        return MAGIC + _seal(self._keys()[0], holder, memoryview(body), checkpoint) + body

    def open(
        self,
        token: bytes,
        mark: int | None = None,
        holder: str = "",
        checkpoint: Checkpoint = never_stop,
    ) -> list[bytes]:
        """Unpack the turns of a session from its token, if that is ours.

        Parameters
        ----------
        token : bytes
            What the caller sent.
        mark : int, optional
            That of the ask which the caller answers, if he said it.
        holder, checkpoint : str, callable
            As for `close`.

        Raises
        ------
        InvalidInput
            If the token is altered, foreign, of another version, of another check or caller.
        """
        body = memoryview(token)[len(MAGIC) + SEAL_BYTES :]
        seal = token[len(MAGIC) : len(MAGIC) + SEAL_BYTES]
        ours = token.startswith(MAGIC) and len(token) > HEAD
        if not ours or not any(
            hmac.compare_digest(seal, _seal(key, holder, body, checkpoint)) for key in self._keys()
        ):
            requirement = (
                "be one that this server, or one with its --session-key-file, gave to this caller"
            )
            raise InvalidInput("token", requirement, "another")
        if mark and mark.to_bytes(MARK_BYTES, "little") != body[:MARK_BYTES]:
            raise InvalidInput("token", "belong to the check that is answered", "that of another")
        return _unpacked(body[MARK_BYTES:], checkpoint)


def _seal(key: bytes, holder: str, body: memoryview, checkpoint: Checkpoint) -> bytes:
    name = holder.encode()
    made = hmac.new(key, len(name).to_bytes(4, "little") + name, hashlib.sha256)
    for begin in range(0, len(body), PIECE):
        checkpoint()
        made.update(body[begin : begin + PIECE])
    return made.digest()


def _require_room(size: int) -> None:
    if size >= MAX_SESSION_BYTES:
        raise InvalidInput("token", f"hold less than {MAX_SESSION_BYTES} bytes", "a longer session")


def _unpacked(body: memoryview, checkpoint: Checkpoint) -> list[bytes]:
    plain, unpacker = bytearray(), zlib.decompressobj()
    for begin in range(0, len(body), PIECE):
        packed = bytes(body[begin : begin + PIECE])
        while packed and len(plain) < MAX_SESSION_BYTES:
            checkpoint()
            plain += unpacker.decompress(packed, PIECE)
            packed = unpacker.unconsumed_tail
    _require_room(len(plain))
    turns, at = [], 0
    while at < len(plain):
        length = int.from_bytes(plain[at : at + 4], "little")
        turns.append(bytes(plain[at + 4 : at + 4 + length]))
        at += 4 + length
    return turns
