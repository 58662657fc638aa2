"""What people read in a terminal: live views and texts."""
