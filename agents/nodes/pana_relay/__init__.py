"""The PANA relay before an access router."""
