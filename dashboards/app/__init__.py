"""The live web app: serving, access, filters, and the pages kept up to date."""
