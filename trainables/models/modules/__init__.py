"""The spatio-temporal modules, one file each."""
