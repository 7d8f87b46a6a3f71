"""Decisions of the balancer as pure values and functions; time and randomness come in as arguments."""
