"""Networks as plain data, usable by the harness and by `mn --custom`."""
