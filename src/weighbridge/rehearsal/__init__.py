"""Synthetic traffic for demos, tests and load."""
