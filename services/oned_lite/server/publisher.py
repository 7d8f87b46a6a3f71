"""The event stream on the network: a ZeroMQ PUB socket with two frames a message, key and body, as OpenNebula's.

Nothing is kept for subscribers that are away; to one that reads too slowly nothing more is sent while it lags by
`LAG_MAX` messages. Needs pyzmq, which `pip install onelite[events]` brings along.
"""

from __future__ import annotations

import zmq

from services.common import logs
from services.common.settings import Address
from services.oned_lite.lifecycle.event_stream import Event

log = logs.get("oned")
LAG_MAX = 1000
MESSAGE_BYTES_MAX = 1 << 20
"""What a subscriber can make us keep for it is this times `LAG_MAX`, and hardly ever near it."""
SUBSCRIPTION_BYTES_MAX = 4096
LINGER_MS = 200


class Publisher:
    """A PUB socket never waits for anybody, so it may be used on the event loop."""

    def __init__(self, address: Address) -> None:
        """Raises OSError where nobody can listen there."""
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.PUB)
        self._socket.set(zmq.SNDHWM, LAG_MAX)
        self._socket.set(zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES_MAX)
        self._socket.set(zmq.LINGER, LINGER_MS)
        self._socket.set(zmq.IPV6, ":" in address.host)
        try:
            self._socket.bind(f"tcp://{_bracketed(address.host)}:{address.port}")
        except zmq.ZMQError as error:
            self.close()
            raise OSError(error.errno, error.strerror) from error

    def publish(self, event: Event) -> None:
        if len(event.body) > MESSAGE_BYTES_MAX:
            log.warning("an event is too large to be published", key=event.keys[0], bytes=len(event.body))
            return
        for key in event.keys:
            self._socket.send_multipart((key.encode(), event.body), zmq.NOBLOCK)

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
