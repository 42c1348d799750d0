"""Recognising query types where clients name none: keyed hashes in, groups out."""
