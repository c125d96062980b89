"""What the paper is about: the assignment of a home agent, the key for IKE, the sealed copy."""
