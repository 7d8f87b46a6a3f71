from __future__ import annotations

import pytest

from deploy.lab.compare.load import read_answer


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Served-By: ui1\r\nContent-Length: 2\r\n\r\nhi", (200, "ui1")),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", (502, "")),
        (b"HTTP/1.1 200 OK\r\nx-served-by: ui1\r\ncontent-length: 5\r\n\r\nhi", (0, "")),
        (b"HTTP/1.1 200 OK\r\nX-Served", (0, "")),
        (b"", (0, "")),
        (b"nonsense\r\n\r\n", (0, "")),
    ],
)
def test_an_answer_tells_status_and_server_unless_it_is_cut_off(answer: bytes, read: tuple[int, str]) -> None:
    assert read_answer(answer) == read
