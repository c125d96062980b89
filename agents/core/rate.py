"""How often something may be done."""

from __future__ import annotations


class TokenBucket:
    """Allows `rate` per second on average, and `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._filled_at = burst, 0.0

    def take(self, now: float) -> bool:
        """Return whether it may be done now, and count it if so."""
        gained = (now - self._filled_at) * self._rate
        self._tokens, self._filled_at = min(self._burst, self._tokens + gained), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
