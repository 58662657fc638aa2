"""One worker's work on one cell: initialise, train, evaluate, checkpoint, and what it reports."""
