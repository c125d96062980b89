"""What every machine and node is made of: the contract, timers, bounded reading, documents."""
