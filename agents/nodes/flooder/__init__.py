"""A host without credentials that uses other nodes up."""
