"""The analyses behind a profile: portable expressions, their execution, and pure arithmetic."""
