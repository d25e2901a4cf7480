"""How a table is made: its specification, its cells, its layout, its output formats."""
