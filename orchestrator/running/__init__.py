"""One submission at work: the driver, each cell's run, attempts, and what is kept of them."""
