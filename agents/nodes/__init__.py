"""The nodes of the laboratory; each joins protocol machines into what runs on one host."""
