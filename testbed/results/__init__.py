"""In: what runs came to. Out: the results folder, written and read back."""
