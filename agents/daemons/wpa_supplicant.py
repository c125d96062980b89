"""wpa_supplicant's wired driver: a mobile node's access by IEEE 802.1X."""

from __future__ import annotations

import asyncio
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from agents.core.patience import patient
from agents.daemons.control import ControlError, ControlSocket
from agents.daemons.daemon import DaemonError, executable, running, wait_until
from agents.eap.tls import EapKeys
from agents.nodes.mobile_node.settings import EapSettings
from agents.nodes.mobile_node.supplicant import Said

NAME = "wpa_supplicant"
_START_DEADLINE = 30.0

_KEYS_DEADLINE = 5.0

_EAP = "CTRL-EVENT-EAP-"
_SUCCESS = {"EAP state=SUCCESS", "suppPortStatus=Authorized"}
_UNTOLD = "wpa_supplicant does not tell the keys"
_CERTIFICATES = re.compile(f"{_EAP}PEER-")
_REASON = re.compile(rf"{_EAP}TLS-CERT-ERROR .* err='(?P<reason>[^']*)'", re.DOTALL)
_KEY = re.compile(
    r"EAP-TLS: Derived (?P<name>key|EMSK|Session-Id) - "
    r"hexdump\(len=\d+\):(?P<value>( [0-9a-f]{2})+)"
)
_BEGINS_OR_FAILS = {f"EAP: EAP entering state {state}" for state in ("INITIALIZE", "FAILURE")}
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
    """wpa_supplicant while it runs (agents.nodes.mobile_node.supplicant.Supplicant).

    What EAP comes to is known from its control socket. Of its output, in which it prints names of
    certificates before it refuses them, line breaks and all, it is the keys' lines that count, and
    only those that are the last before a random note that it is told to print after a success.
    """

    def __init__(
        self, enter: Callable[..., None], keep: Callable[[str], None], *, exports: bool
    ) -> None:
        self.on_said: Callable[[Said], None] = lambda _: None
        self.reason = ""
        self._enter = enter
        self._keep = keep
        self._exports = exports
        self._found: dict[str, bytes] = {}
        self._keys: EapKeys | None = None
        self._note: str | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._control: ControlSocket | None = None

    def connect(self, control: ControlSocket) -> None:
        """Take commands to it, and events from it, from now on; DaemonError if it gives none."""
        try:
            control.do("ATTACH")
        except ControlError as error:
            raise DaemonError(f"wpa_supplicant: {error}") from None
        self._control = control

    @property
    def keys(self) -> EapKeys | None:
        """What the EAP-TLS that has just succeeded has exported, None if it is not told."""
        return self._keys

    def hear(self, line: str) -> str | None:
        """Take a line of its output; return it if it may be kept.

        That is one without secrets, and from before it hears a network, which can invent lines.
        """
        if key := _KEY.fullmatch(line):
            self._found[key["name"]] = bytes.fromhex(key["value"])
        elif line in _BEGINS_OR_FAILS:
            self._found.clear()
        elif self._note and line == self._note:
            self._take_keys()
        harmless = self._control is None and "hexdump" not in line
        return line if harmless and _KEPT.search(line) else None

    def heed(self) -> None:
        """Take the events that its control socket has."""
        while self._control and (event := self._control.event()) is not None:
            self._heed(event)

    def _heed(self, event: str) -> None:
        if not _CERTIFICATES.match(event):
            self._keep(event.encode("unicode_escape").decode())
        if reason := _REASON.fullmatch(event.strip()):
            self.reason = reason["reason"]
        elif event.startswith(f"{_EAP}FAILURE"):
            self._tell(Said.FAILED)
        elif event.startswith(f"{_EAP}SUCCESS"):
            self._confirm()

    def _confirm(self) -> None:
        """Go on if this success is what EAP has come to now: otherwise other events follow."""
        note = secrets.token_hex(16)
        if self._control is None:
            return
        try:
            self._control.do(f"NOTE {note}")
            status = self._control.ask("STATUS").splitlines()
        except ControlError as error:
            self._fail(str(error))
            return
        overtaken = any(event.startswith(_EAP) for event in self._control.waiting)
        if overtaken or not {*status} >= _SUCCESS:
            return
        self._forget()
        if not self._exports:
            self._tell(Said.SUCCEEDED)
            return
        self._note = f"NOTE: {note}"
        later = asyncio.get_running_loop().call_later
        self._overdue = later(patient(_KEYS_DEADLINE), self._fail, _UNTOLD)

    def _take_keys(self) -> None:
        found, self._found = self._found, {}
        if "key" not in found or "EMSK" not in found:
            self._fail(_UNTOLD)
            return
        self._keys = EapKeys(found["key"], found["EMSK"], found.get("Session-Id", b""))
        self._tell(Said.SUCCEEDED)

    def _fail(self, reason: str) -> None:
        self.reason = reason
        self._tell(Said.FAILED)

    def _forget(self) -> None:
        self._note = None
        if self._overdue:
            self._overdue.cancel()

    def _tell(self, said: Said) -> None:
        self._forget()
        self._enter(self.on_said, said)
        self.reason = ""
        self._keys = None

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
        if self._control.waiting:
            asyncio.get_running_loop().call_soon(self.heed)
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
        socket = Path(place) / interface
        log = folder / "wpa_supplicant.log"
        wpa = WpaSupplicant(enter, partial(_append, log), exports=exports)
        async with running(command, log, stop, hear=wpa.hear) as daemon:
            await wait_until(
                lambda: daemon.alive and socket.exists(),
                "wpa_supplicant takes commands",
                patient(_START_DEADLINE),
            )
            with ControlSocket(socket) as control:
                wpa.connect(control)
                loop = asyncio.get_running_loop()
                loop.add_reader(control, wpa.heed)
                try:
                    yield wpa
                finally:
                    loop.remove_reader(control)


def _append(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
