"""The version of this package, told without importing its rooms."""

__version__ = "0.1.0"
