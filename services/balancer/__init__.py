"""A reverse proxy with nginx's semantics and both kinds of health checks.

Rooms, from pure to wet: ``core`` (peers, selection, retries, checks, routing: no clock, no IO), ``wire`` (HTTP/1 heads and
framing: bytes in, values out), ``plane`` (the sockets), ``status`` (dashboard, JSON, metrics, runtime API).
"""

from services.balancer import acceleration

acceleration.use()
