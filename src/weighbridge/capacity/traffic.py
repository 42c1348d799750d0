"""Requests as arrays: what the simulation is fed. Their types stand where readers reach them."""

from weighbridge.usage.requests import Floats, Ints, PrefixBlocks, Requests

__all__ = ["Floats", "Ints", "PrefixBlocks", "Requests"]
