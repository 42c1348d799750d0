"""A real engine measured, calibrated, and its latencies under unseen loads predicted."""
