"""The random operations on arenas; test_random_ops.py runs them."""
