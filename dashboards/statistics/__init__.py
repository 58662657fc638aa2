"""How sure a difference is: intervals, paired tests, means over seeds. Pure functions of plain numbers."""
