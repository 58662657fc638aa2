"""The frame store and the manifest: how a dataset lies on disk, and how its frames are read."""
