"""Many mobile nodes in one program."""
