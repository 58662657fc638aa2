"""The figures, one file each: data from the catalog's queries, drawing, caption, and where it is shown."""
