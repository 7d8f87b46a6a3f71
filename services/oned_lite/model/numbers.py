"""Numbers in text that people typed."""

DIGITS_MAX = 18
"""What surely fits 64 bits."""


def is_whole(text: str) -> bool:
    """Whether `int(text)` is a number without sign that every row can hold: ASCII digits, not too many."""
    return len(text) <= DIGITS_MAX and text.isascii() and text.isdigit()
