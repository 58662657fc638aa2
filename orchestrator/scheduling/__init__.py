"""Which cell goes next, and what follows a failure: pure decisions."""
