"""The IKE daemon of either side."""
