"""The figures, one file each: data from the catalog's queries, drawing, captions, and where it is shown.

To add one, write a file here that ends in `FIGURE = Figure(…)`: `figure.py` says what its parts mean, and
`accuracy_by_macs.py` has a place on the page, in the report and in print. The registry finds it. With a
`Finding` it answers a question of the page Findings, with a `Section` it stands in the report, with an
`Export` it is `actiongrid report --figure NAME`, and the tests of all figures hold for it. `order` is unique
among the findings, sections or exports; there is room between the tens.

Figures hold no SQL: data that no function of `catalog/queries/` returns yet are the rows of a view
(`catalog.queries.filters.rows_of`, which filters but knows no published rows), or a new function there.
"""
