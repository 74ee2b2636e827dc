"""Messages over a stream socket: a length of 8 bytes, then as many bytes. The other end is not trusted."""

import socket
import struct
import time

_LENGTH = struct.Struct("<Q")


class MessageTooLong(Exception):
    """The other end announces more than it may send."""


def send(connection: socket.socket, message: bytes) -> None:
    """All of it. Raises OSError, TimeoutError among them when the socket has a timeout."""
    connection.sendall(_LENGTH.pack(len(message)) + message)


def is_quiet(connection: socket.socket) -> bool:
    """Whether the other end has sent nothing that was not received; also when it has closed.

    Leaves the socket without a timeout.
    """
    connection.settimeout(0)  # with another one Python waits before it looks
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        connection.settimeout(None)


def receive(connection: socket.socket, most: int, within_s: float | None = None) -> bytearray:
    """The next message, of at most `most` bytes, all of which has to be there within so many seconds.

    Raises EOFError when the other end closes first, TimeoutError, MessageTooLong, OSError.
    """
    deadline = None if within_s is None else time.monotonic() + within_s
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, deadline))
    if length > most:
        raise MessageTooLong(f"{length:,} bytes announced, {most:,} allowed")
    return _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, n_bytes: int, deadline: float | None) -> bytearray:
    content = bytearray(n_bytes)
    with memoryview(content) as rest:
        filled = 0
        while filled < n_bytes:
            # The time is for the whole message: one byte now and then must not keep it open.
            if deadline is not None:
                connection.settimeout(max(deadline - time.monotonic(), 1e-3))
            received = connection.recv_into(rest[filled:])
            if received == 0:
                raise EOFError
            filled += received
            if deadline is not None and filled < n_bytes and time.monotonic() > deadline:
                raise TimeoutError
    return content
