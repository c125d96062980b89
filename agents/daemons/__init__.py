"""Real daemons in a role: Kea, NSD, FreeRADIUS, freeDiameter."""
