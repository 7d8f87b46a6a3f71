"""Random nginx.confs and random requests, before a real nginx and before the balancer.

The same seed is the same file and the same requests, so a difference can be looked at again and made smaller.
"""
