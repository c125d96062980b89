"""What was found: of each fault the smallest input."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

from tests.bad_bytes.target import Target


class Findings:
    """Faults by where they show, kept in a file if there is one for them."""

    def __init__(self, path: Path | None = None) -> None:
        self.smallest: dict[str, tuple[bytes, str]] = {}
        self._path = path

    def look(self, target: Target, data: bytes) -> None:
        """Feed an input, and note what it must not do."""
        try:
            target.check(data)
        except Exception as error:  # Whatever it is: that is what is looked for.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
            before = self.smallest.get(place)
            if before is None or len(data) < len(before[0]):
                self.smallest[place] = data, traceback.format_exc()
                self._keep()

    def _keep(self) -> None:
        if self._path:
            told = {place: (data.hex(), text) for place, (data, text) in self.smallest.items()}
            self._path.write_text(json.dumps(told))
