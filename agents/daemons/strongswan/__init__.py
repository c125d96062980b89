"""strongSwan in the roles of IKE: its daemon as a child, driven by vici."""
