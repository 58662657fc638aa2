"""Finished cells measured under another protocol."""
