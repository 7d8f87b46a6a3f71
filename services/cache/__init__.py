"""A session cache that speaks the Memcached text protocol.

`protocol` turns bytes into commands, `store` keeps bounded items, `commands` carries one out on the other: all three
are pure, and time is an argument. `server` is the asyncio shell around them.
"""
