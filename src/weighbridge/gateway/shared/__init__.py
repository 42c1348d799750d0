"""Limits and budgets that hold over several processes: counts in a bank, leases in each process."""
