"""Clients and servers of every temper around one running balancer; once all is quiet, nothing may be missing or left."""
