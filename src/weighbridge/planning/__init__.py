"""Query types and options to an assignment and a verdict with reasons; pure."""
