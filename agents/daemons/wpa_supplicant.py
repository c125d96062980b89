"""wpa_supplicant's wired driver: a mobile node's access by IEEE 802.1X."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agents.core.patience import patient
from agents.daemons.control import ControlError, ControlSocket
from agents.daemons.daemon import executable, running, wait_until
from agents.eap.tls import EapKeys
from agents.nodes.mobile_node.settings import EapSettings
from agents.nodes.mobile_node.supplicant import Said

NAME = "wpa_supplicant"
_START_DEADLINE = 30.0

_WORDS = (
    ("CTRL-EVENT-EAP-SUCCESS ", Said.SUCCEEDED),
    ("CTRL-EVENT-EAP-FAILURE ", Said.FAILED),
)
_REASON = re.compile(r"CTRL-EVENT-EAP-(?:TLS-CERT-ERROR|TIMEOUT-FAILURE)(?P<reason>.*)")
_KEY = re.compile(
    r"EAP-TLS: Derived (?P<name>key|EMSK|Session-Id) - hexdump\(len=\d+\): (?P<value>[0-9a-f ]+)"
)
_KEPT = re.compile(r"CTRL-|^(?:EAPOL|EAP|SSL): |^Line |rror|ailed")
"""What of its words may be in a file, if it is no dump: in others are keys."""


def supplicant_configuration(settings: EapSettings, control: str) -> str:
    """Return wpa_supplicant's configuration; `control` is the folder of its socket.

    Its network is disabled: it begins when it is told to.
    """
    tls = settings.tls
    network = {
        "disabled": 1,
        "key_mgmt": "IEEE8021X",
        "eapol_flags": 0,
        "eap": "TLS",
        "identity": _quoted(settings.identity),
        "ca_cert": _quoted(tls.ca),
        "client_cert": _quoted(tls.certificate),
        "private_key": _quoted(tls.key),
        "domain_match": _quoted(settings.server_name),
        "fragment_size": settings.fragment_size,
        "phase1": _quoted(f"tls_disable_tlsv1_3={int(tls.version == 'TLSv1.2')}"),
    }
    lines = "".join(f"{name}={value}\n" for name, value in network.items())
    return f"ctrl_interface={control}\nap_scan=0\nfast_reauth=0\nnetwork={{\n{lines}}}\n"


def _quoted(text: str) -> str:
    """Return a string as its configuration has it; ValueError for one that cannot be told."""
    if not text.isprintable() or '"' in text:
        raise ValueError(f"wpa_supplicant cannot be told {text!r}: it has a quotation mark")
    return f'"{text}"'


class WpaSupplicant:
    """wpa_supplicant while it runs (agents.nodes.mobile_node.supplicant.Supplicant)."""

    def __init__(self, enter: Callable[..., None]) -> None:
        self.on_said: Callable[[Said], None] = lambda _: None
        self.reason = ""
        self._enter = enter
        self._found: dict[str, bytes] = {}
        self._control: ControlSocket | None = None

    def connect(self, control: ControlSocket) -> None:
        """Take commands to it from now on."""
        self._control = control

    @property
    def keys(self) -> EapKeys | None:
        """What its last EAP-TLS has exported, None if it has not told."""
        found = self._found
        if "key" not in found or "EMSK" not in found:
            return None
        return EapKeys(found["key"], found["EMSK"], found.get("Session-Id", b""))

    def hear(self, line: str) -> str | None:
        """Take a line of its output; return it if it has no secrets, so that it may be kept."""
        if "hexdump" in line:
            self._take(line)
            return None
        if reason := _REASON.search(line):
            self.reason = reason["reason"].strip()
        for word, said in _WORDS:
            if word in line:
                self._tell(said)
        return line if _KEPT.search(line) else None

    def _take(self, line: str) -> None:
        if key := _KEY.search(line):
            self._found[key["name"]] = bytes.fromhex(key["value"])

    def _tell(self, said: Said) -> None:
        self._enter(self.on_said, said)
        self.reason = ""
        self._found.clear()

    def prepare(self) -> bool:
        """Make ready to log on; otherwise it would wait for hostapd to speak first, for 2 s."""
        return self._do("ENABLE_NETWORK 0")

    def log_on(self) -> bool:
        """Send EAPOL-Start now, the first time or after log_off(); return whether that was done."""
        return self._do("LOGON")

    def reauthenticate(self) -> bool:
        """Ask the authenticator for another authentication."""
        return self._do("REAUTHENTICATE")

    def log_off(self) -> bool:
        """Tell the authenticator that this host leaves."""
        return self._do("LOGOFF")

    def _do(self, command: str) -> bool:
        if self._control is None:
            return False
        try:
            self._control.do(command)
        except ControlError:
            return False
        return True


@asynccontextmanager
async def supplicant(
    host: str,
    interface: str,
    settings: EapSettings,
    work: str,
    enter: Callable[..., None],
    stop: asyncio.Event,
    *,
    exports: bool,
) -> AsyncIterator[WpaSupplicant]:
    """Run wpa_supplicant; if it ends by itself `stop` is set, and DaemonError raised.

    `enter` has what it says handled in the turn of this host. With `exports` it tells the keys of
    EAP too, which it does on its standard output alone: that is a pipe to this program, and what
    has keys goes into no file.
    """
    folder = Path(work) / f"{host}-{NAME}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="supplicant-", dir="/run") as place:
        file = folder / "wpa_supplicant.conf"
        file.write_text(supplicant_configuration(settings, place), encoding="utf-8")
        command = [executable(NAME, folder), "-D", "wired", "-i", interface, "-c", str(file)]
        command += ["-dK"] if exports else []
        wpa = WpaSupplicant(enter)
        socket = Path(place) / interface
        log = folder / "wpa_supplicant.log"
        async with running(command, log, stop, hear=wpa.hear) as daemon:
            await wait_until(
                lambda: daemon.alive and socket.exists(),
                "wpa_supplicant takes commands",
                patient(_START_DEADLINE),
            )
            with ControlSocket(socket) as control:
                wpa.connect(control)
                yield wpa
