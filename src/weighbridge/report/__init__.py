"""Renders finished results: terminal, HTML, CSV, JSON, FOCUS. Computes nothing."""
