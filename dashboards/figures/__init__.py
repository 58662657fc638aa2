"""One file a figure: `*_data(catalog)` gives a plain table, `draw_*(table)` a Plotly figure, both pure."""
