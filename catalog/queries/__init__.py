"""All questions that the rest of the house asks of the catalog; each function returns an Arrow table."""
