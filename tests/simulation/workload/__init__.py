"""What clients and operators do while everything goes wrong, and what they remember of it."""
