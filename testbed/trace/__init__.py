"""In: captures and events. Out: messages, phases, counts, and keys for Wireshark."""
