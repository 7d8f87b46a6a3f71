"""The XML-RPC methods: one module per kind, thin handlers on a transaction."""
