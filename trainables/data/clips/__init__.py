"""From frames to batches of clips: sampling, cuts, augmentation, and the loader that prepares them."""
