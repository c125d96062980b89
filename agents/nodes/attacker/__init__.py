"""A host that attacks others: one attack a run, whose end it tells."""
