"""Real parts that tests of several services start for themselves."""
