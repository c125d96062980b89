"""In: results and their analysis. Out: figures, tables and pages."""
