"""The control endpoint: what the tests of a tool need of its testbed, and nobody else should have."""
