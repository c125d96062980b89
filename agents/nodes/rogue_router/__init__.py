"""An access router that lies."""
