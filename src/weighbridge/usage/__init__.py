"""What people already have, read in; and the analyses over a ledger."""
