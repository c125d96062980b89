"""Where hosts run: this kernel (native) or user-mode Linux (uml)."""
