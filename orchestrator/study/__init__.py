"""From a study file to cells and their keys; reads YAML, touches no storage."""
