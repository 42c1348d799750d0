"""The data plane: one process in front of every provider, which meters what passes."""
