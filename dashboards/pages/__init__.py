"""The pages of the live app, one file each: `blocks(view)` says what a page shows."""
