"""The videos of the two toy datasets: drawn, encoded and written as real files."""
