"""A session cache that speaks the Memcached text protocol.

`protocol` names the commands, `reader` cuts bytes into them, `store` keeps bounded items, `commands` carries one out on
the other: all of these are pure, and time is an argument. `server` is the asyncio shell around them.
"""
