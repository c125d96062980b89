"""Diameter base protocol (RFC 6733) and Diameter EAP (RFC 4072) with the AVPs of RFC 5447."""
