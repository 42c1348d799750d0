"""Readers of what measuring tools leave behind: benchmark files, engine logs, metrics."""
