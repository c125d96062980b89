"""In: runs as they end. Out: the results folder, written line by line and read back."""
