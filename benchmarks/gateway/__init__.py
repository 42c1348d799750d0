"""Weighbridge's gateway beside other gateways, in one run. See benchmarks/README.md."""
