"""Classic mistakes, made on purpose in a copy of the code, to show that the tests would notice each of them."""
