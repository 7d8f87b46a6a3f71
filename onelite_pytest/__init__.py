"""Fixtures for the tests of tools that talk to OpenNebula: a real `oned-lite`, alone or as a cluster of three.

See docs/testing-your-tool.md. Only the standard library and pytest are used here, and nothing of onelite's own packages:
the daemons are processes of their own, and a test session that needs none of them loads next to nothing.
"""
