"""Messages between the processes of one worker: JSON objects, each behind its length."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from typing import Any, Final

_LENGTH: Final = struct.Struct("<I")
Message = dict[str, Any]


class BlockingFrames:
    """Frames on a blocking socket, for a process without a loop. Sending is thread-safe."""

    def __init__(self, sock: socket.socket) -> None:
        """Speak over `sock`."""
        self._sock = sock
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send one message whole."""
        body = json.dumps(message).encode()
        with self._lock:
            self._sock.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self) -> Message | None:
        """Return the next message, or None when the other side is gone."""
        head = self._exactly(_LENGTH.size)
        if head is None:
            return None
        body = self._exactly(_LENGTH.unpack(head)[0])
        if body is None:
            return None
        message: Message = json.loads(body)
        return message

    def waits(self) -> bool:
        """Whether something can be received now, be it the end of the other side."""
        try:
            self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            part = self._sock.recv(size - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)


class AsyncFrames:
    """Frames on a loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over a pair of streams."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> AsyncFrames:
        """Return frames over `sock`, which now belongs to them."""
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer)

    def send(self, message: Message) -> None:
        """Queue one message; a side that is gone is noticed by `receive`."""
        body = json.dumps(message).encode()
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(body)) + body)

    def hint(self, message: Message) -> None:
        """Queue a message that says as much once as often; a side that does not read gets no more.

        What waits for it is read first, and then it looks at all there is.
        """
        if not self._writer.transport.get_write_buffer_size():
            self.send(message)

    async def receive(self) -> Message | None:
        """Return the next message, or None when the other side is gone."""
        try:
            head = await self._reader.readexactly(_LENGTH.size)
            body = await self._reader.readexactly(_LENGTH.unpack(head)[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        message: Message = json.loads(body)
        return message

    def close(self) -> None:
        """Let go of the socket."""
        self._writer.close()
