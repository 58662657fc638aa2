"""A study's datasets on a storage: what is built, and building the rest."""
