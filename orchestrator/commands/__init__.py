"""The commands of `actiongrid`, one file each: they parse, call the core and print."""
