"""Traces of requests and of rates, read into arrays for the simulation."""
