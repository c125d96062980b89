"""Pseudo-random functions, Diffie-Hellman and ciphers, over the cryptography library."""
