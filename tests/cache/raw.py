"""A client that sends exact bytes and reads exact answers."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

# Both servers answer it alike, and nothing else is answered so: no test has to wait for silence.
MARK = b"touch end-of-answer\r\nversion\r\n"
MARK_ANSWER = b"ERROR\r\nVERSION "


class RawClient:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def set_timeout(self, seconds: float) -> None:
        self._socket.settimeout(seconds)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def say(self, data: bytes) -> bytes:
        """Sends the bytes and returns all that is answered to them, nothing included."""
        self.send(data + MARK)
        answer = b""
        while MARK_ANSWER not in answer or not answer.endswith(b"\r\n"):
            chunk = self._socket.recv(65536)
            assert chunk, f"connection closed after {answer!r}"
            answer += chunk
        return answer[: answer.rindex(MARK_ANSWER)]

    def read_to_end(self) -> bytes:
        answer = b""
        while chunk := self._socket.recv(65536):
            answer += chunk
        return answer

    def count_to_end(self, last_words: bytes) -> int:
        """Sends last words and returns how many bytes come until the server closes."""
        self.send(last_words)
        count = 0
        while chunk := self._socket.recv(1 << 20):
            count += len(chunk)
        return count

    def is_closed(self) -> bool:
        """Whether the server has closed, waiting for it as long as the timeout is."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def finish_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)
