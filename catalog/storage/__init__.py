"""Where a storage lies: a folder or a bucket behind one contract, and who may write what into it."""
