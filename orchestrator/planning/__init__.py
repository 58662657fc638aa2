"""What a study means today: what is done, what would run and why, and what it costs."""
