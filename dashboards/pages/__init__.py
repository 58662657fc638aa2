"""The pages of the live app, one file each: `blocks(request)` says what a page shows."""
