"""How a step runs on a device: precision, compiler, uploads, memory. Numbers keep within roundings."""
