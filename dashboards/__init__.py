"""What people look at: figures, the report, the live app."""
