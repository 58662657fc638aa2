"""The report: one self-contained HTML page, and single figures for a paper."""
