"""A TCP connection that is in use all the time: `tcp_stream.py serve`, `... ask ADDRESS FILE`.

Who asks sends a number every 10 ms, and wants each back in its turn, until FILE.end is there. Then
it writes into FILE how many came back; an error, which is the connection's end, is there instead.
"""

import socket
import sys
import time
from pathlib import Path

_PORT, _PAUSE, _SIZE = 5001, 0.01, 8


def serve() -> None:
    """Send back what comes, to one after the other."""
    with socket.create_server(("::", _PORT), family=socket.AF_INET6) as listening:
        while True:
            there, _ = listening.accept()
            with there:
                while data := there.recv(4096):
                    there.sendall(data)


def ask(address: str, result: Path) -> None:
    """Ask until there is FILE.end."""
    number, end = 0, result.with_suffix(".end")
    try:
        with socket.create_connection((address, _PORT)) as there, there.makefile("rb") as answers:
            while not end.exists():
                there.sendall(number.to_bytes(_SIZE))
                if int.from_bytes(answers.read(_SIZE)) != number:
                    raise OSError(f"no answer to {number}")
                number += 1
                time.sleep(_PAUSE)
    except OSError as error:
        result.write_text(f"{error}\n")
    else:
        result.write_text(f"{number}\n")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        ask(sys.argv[2], Path(sys.argv[3]))
