"""Make the event generator importable in every import mode of pytest."""
