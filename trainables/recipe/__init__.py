"""What one cell is told: its recipe and specification, frozen and typed; imports no torch."""
