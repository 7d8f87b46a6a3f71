"""The control daemon: OpenNebula's XML-RPC API over a Raft-replicated state."""
