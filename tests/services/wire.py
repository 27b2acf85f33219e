"""As much of PostgreSQL's protocol as tells which statement a client runs, and when it is done.

See "Message Formats" in its manual.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_ENCRYPTION_REQUESTS: Final = (80877103, 80877104)
"""TLS and GSSAPI."""


class Messages:
    """Cuts a stream into messages. What a client says first has no type."""

    def __init__(self, *, typed: bool) -> None:
        self.typed = typed
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return the messages that are complete by now: the type, or nothing, and all bytes."""
        self._rest += data
        while len(self._rest) >= 4 + self.typed:
            (length,) = struct.unpack_from("!I", self._rest, self.typed)
            end = length + self.typed
            if len(self._rest) < end:
                return
            message, self._rest = self._rest[:end], self._rest[end:]
            yield message[: self.typed], message


def is_encryption_request(message: bytes) -> bool:
    (code,) = struct.unpack_from("!I", message, 4)
    return code in _ENCRYPTION_REQUESTS


class Conversation:
    """What a client has asked of its server, and whether all of it was answered."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, bytes] = {}
        self._unanswered = 1  # the greeting
        self._is_copying = False

    def ask(self, kind: bytes, message: bytes) -> str | None:
        """Note what the client sends; return the SQL when it runs a statement, prepared or not."""
        match kind:
            case b"P":
                name, sql, _ = message[5:].split(b"\0", 2)
                self._prepared[name] = sql
            case b"B":
                _, name, _ = message[5:].split(b"\0", 2)
                return self._prepared.get(name, b"").decode(errors="replace")
            case b"Q":
                self._unanswered += 1
                return message[5:-1].decode(errors="replace")
            case b"S" if not self._is_copying:  # the server overlooks one that comes amid COPY
                self._unanswered += 1
        return None

    def answer(self, kind: bytes) -> bool:
        """Note what the server sends; tell whether nothing is left unanswered by it."""
        match kind:
            case b"G":
                self._is_copying = True
            case b"Z":
                self._is_copying = False
                self._unanswered -= 1
                return self._unanswered == 0
        return False
