"""Drivers: the dummy hypervisor and monitor, datastores on a shared path, networks, hooks."""
