"""Transition tables, and which driver action each transient state needs."""
