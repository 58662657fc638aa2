"""The event generator of the catalog's tests serves these tests too."""
