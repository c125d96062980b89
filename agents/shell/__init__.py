"""The asyncio shell: the only sockets, clocks and timers."""
