"""The EAP server of the home AAA server: FreeRADIUS, which does EAP-TLS and no more."""

from __future__ import annotations

import asyncio
import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated

import msgspec

from agents.core.configuration import Configuration
from agents.core.patience import patient
from agents.core.settings import FragmentSize
from agents.daemons.daemon import executable, run_daemon, udp_port_bound, wait_for_addresses
from agents.nodes.radius_settings import RadiusClientSettings
from agents.nodes.tls import TlsSettings
from agents.radius.wire import PORT
from agents.shell.program import run

_SECRET = re.compile(r"[!#-&(-\[\]-~]{16,}", re.ASCII)
"""What needs no quoting in FreeRADIUS' configuration, and cannot be guessed."""

_CONVERSATION_SECONDS = 30
_MOST_CONVERSATIONS = 65_536
"""FreeRADIUS lets none give way: beyond so many it refuses everybody.

Anybody can begin a conversation, so there have to be more than a flood begins in their time.
"""


class EapServerConfiguration(Configuration, frozen=True, kw_only=True):
    """The EAP server's configuration; times in seconds. Who has a certificate of `tls` is in."""

    address: str
    client: RadiusClientSettings
    tls: TlsSettings
    work: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = PORT
    eap_fragment_size: FragmentSize = 1000
    start_deadline: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 30.0


def read_secret(file: Path) -> str:
    """Return the secret in a file; ValueError for one that FreeRADIUS could not be told."""
    text = file.read_text(encoding="ascii")
    if not _SECRET.fullmatch(text):
        raise ValueError(
            f"{file}: the secret of a RADIUS client has at least 16 visible ASCII characters, and "
            "no quotes nor backslashes"
        )
    return text


def freeradius_configuration(configuration: EapServerConfiguration, secret: str) -> str:
    """Return FreeRADIUS' configuration; ValueError for a bad address.

    The User-Name in an answer is the one in the certificate, whatever the user calls itself.
    """
    tls, work = configuration.tls, Path(configuration.work)
    version = tls.version.removeprefix("TLSv")
    client = configuration.client
    return f"""\
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = "{work}"
logdir = "{work}"
run_dir = "{work}"
db_dir = "{work}"
name = freeradius
max_request_time = 30
cleanup_delay = 5
hostname_lookups = no
log {{
    destination = stdout
    auth = no
}}
security {{
    allow_core_dumps = no
    reject_delay = 0
    status_server = no
}}
thread pool {{
    start_servers = 1
    max_servers = 1
    min_spare_servers = 1
    max_spare_servers = 1
    max_requests_per_server = 0
}}
client home-aaa {{
    ipv6addr = {IPv6Address(client.address)}
    secret = "{secret}"
    shortname = "{client.name}"
    require_message_authenticator = yes
}}
modules {{
    eap {{
        default_eap_type = tls
        timer_expire = {_CONVERSATION_SECONDS}
        ignore_unknown_eap_types = no
        max_sessions = {_MOST_CONVERSATIONS}
        tls-config subscribers {{
            private_key_file = "{tls.key}"
            certificate_file = "{tls.certificate}"
            ca_file = "{_trusted(configuration)}"
            check_crl = {"yes" if tls.crl else "no"}
            fragment_size = {configuration.eap_fragment_size}
            auto_chain = no
            include_length = no
            cipher_list = "DEFAULT"
            ecdh_curve = "prime256v1"
            tls_min_version = "{version}"
            tls_max_version = "{version}"
            cache {{
                enable = no
            }}
        }}
        tls {{
            tls = subscribers
        }}
    }}
}}
server eap {{
    listen {{
        type = auth
        ipv6addr = {IPv6Address(configuration.address)}
        port = {configuration.port}
    }}
    authorize {{
        eap
    }}
    authenticate {{
        eap
    }}
    post-auth {{
        update reply {{
            &User-Name := "%{{TLS-Client-Cert-Subject-Alt-Name-Email}}"
        }}
    }}
}}
"""


def _trusted(configuration: EapServerConfiguration) -> Path:
    """Return the file of the CA, and of what it has withdrawn."""
    if configuration.tls.crl is None:
        return Path(configuration.tls.ca)
    return Path(configuration.work) / "freeradius-ca.pem"


async def serve(configuration: EapServerConfiguration, stop: asyncio.Event) -> None:
    """Run FreeRADIUS until `stop` is set."""
    deadline = patient(configuration.start_deadline)
    folder = Path(configuration.work) / "freeradius"
    folder.mkdir(mode=0o700, exist_ok=True)
    configuration = msgspec.structs.replace(configuration, work=str(folder))
    if (crl := configuration.tls.crl) is not None:
        known = Path(configuration.tls.ca).read_bytes() + Path(crl).read_bytes()
        _trusted(configuration).write_bytes(known)
    settings = folder / "radiusd.conf"
    settings.touch(mode=0o600)
    secret = read_secret(Path(configuration.client.secret_file))
    settings.write_text(freeradius_configuration(configuration, secret), encoding="utf-8")
    address = IPv6Address(configuration.address)
    await wait_for_addresses([address], deadline)
    program = executable("freeradius", folder)
    await run_daemon(
        [program, "-f", "-l", "stdout", "-d", str(folder)],
        folder / "freeradius.log",
        {
            "freeradius has started": lambda daemon: daemon.said("Ready to process requests"),
            f"freeradius listens on {address}": lambda _: udp_port_bound(
                address, configuration.port
            ),
        },
        host=configuration.host,
        deadline=deadline,
        stop=stop,
    )


def main() -> None:
    """Run the program."""
    run("agents.daemons.freeradius", EapServerConfiguration, serve)


if __name__ == "__main__":
    main()
