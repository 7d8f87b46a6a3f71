"""Handlers, one module per page or deed."""
