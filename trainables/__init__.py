"""What one GPU worker does: models, data, the training step, evaluation, checkpoints.

Knows nothing of studies, Ray Tune or the catalog: a frozen `CellSpec` goes in, metrics and a result come out.
"""
