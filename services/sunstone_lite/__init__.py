"""The web UI: server-rendered, stateless, sessions in Memcached, speaking XML-RPC to oned like any client."""
