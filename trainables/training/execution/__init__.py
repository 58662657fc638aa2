"""How a step runs on a device: precision, compiler, uploads and memory; no number depends on it beyond roundings."""
