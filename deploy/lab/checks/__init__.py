"""Judges of histories: pure functions of what clients were told."""
