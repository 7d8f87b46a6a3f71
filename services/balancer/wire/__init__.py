"""HTTP/1 on the wire, strictly: bytes in, values out; nothing here opens a socket."""
