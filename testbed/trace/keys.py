"""Keys of a run for Wireshark: ESP and IKE keys as a profile; TLS secrets are in the captures."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated

import msgspec

from testbed.base.jsonl import DataError, read_whole

KEYS = "keys.jsonl"
PROFILE = "mip6lab"
DISSECTOR = Path(__file__).with_name("wireshark") / "mip6lab.lua"

Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-fA-F]{2})+$")]
Cookie = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{16}$")]
Spi = Annotated[int, msgspec.Meta(ge=1, lt=1 << 32)]

ENCRYPTION = {
    "cbc(aes)": "AES-CBC [RFC3602]",
    "cbc(des3_ede)": "TripleDES-CBC [RFC2451]",
    "rfc3686(ctr(aes))": "AES-CTR [RFC3686]",
    "rfc4106(gcm(aes))": "AES-GCM with 16 octet ICV [RFC4106]",
    "ecb(cipher_null)": "NULL",
}
INTEGRITY = {
    "hmac(md5)": "HMAC-MD5-96 [RFC2403]",
    "hmac(sha1)": "HMAC-SHA-1-96 [RFC2404]",
    "hmac(sha256)": "HMAC-SHA-256-128 [RFC4868]",
    "hmac(sha384)": "HMAC-SHA-384-192 [RFC4868]",
    "hmac(sha512)": "HMAC-SHA-512-256 [RFC4868]",
    "": "NULL",
}
PREFERENCES = {
    "esp.enable_encryption_decode": "TRUE",
    "esp.enable_authentication_check": "TRUE",
}


class KeysError(DataError):
    """Keys that cannot be given to Wireshark."""


class EspKey(msgspec.Struct, frozen=True, tag_field="kind", tag="esp"):
    """One direction of an ESP SA; algorithms by their Linux names, keys in hexadecimal."""

    source: str
    destination: str
    spi: Spi
    encryption: str
    encryption_key: str
    integrity: str = ""
    integrity_key: str = ""

    def __repr__(self) -> str:
        return f"EspKey({self.source} to {self.destination}, SPI {self.spi:#010x})"


class Ikev1Key(msgspec.Struct, frozen=True, tag_field="kind", tag="ikev1"):
    """The key that encrypts an IKEv1 phase 1 (RFC 2409 appendix B), in hexadecimal."""

    initiator_cookie: Cookie
    encryption_key: Hex

    def __repr__(self) -> str:
        return f"Ikev1Key({self.initiator_cookie})"


class Ikev2Key(msgspec.Struct, frozen=True, tag_field="kind", tag="ikev2"):
    """The keys of an IKEv2 SA (RFC 7296 section 2.14); algorithms as Wireshark spells them."""

    spi_i: Cookie
    spi_r: Cookie
    sk_ei: Hex
    sk_er: Hex
    encryption: str
    sk_ai: str
    sk_ar: str
    integrity: str

    def __repr__(self) -> str:
        return f"Ikev2Key({self.spi_i}, {self.spi_r})"


Key = EspKey | Ikev1Key | Ikev2Key


def wireshark_profile(keys: Path) -> Path:
    """Make keys/wireshark from keys/keys.jsonl and return it.

    It serves as WIRESHARK_CONFIG_DIR, alone or with `tshark -C mip6lab`, and may be copied to
    ~/.config/wireshark/profiles/. It brings the dissector of the paper's PANA. Raises DataError
    with file and line for a bad key.
    """
    found = read_keys(keys / KEYS)
    tables = {
        "preferences": [f"{name}: {value}" for name, value in PREFERENCES.items()],
        "esp_sa": _table(_esp(key) for key in found if isinstance(key, EspKey)),
        "ikev1_decryption_table": _table(_ikev1(key) for key in found if isinstance(key, Ikev1Key)),
        "ikev2_decryption_table": _table(_ikev2(key) for key in found if isinstance(key, Ikev2Key)),
    }
    folder = keys / "wireshark"
    for place in (folder, folder / "profiles" / PROFILE):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, lines in tables.items():
            _write(place / name, "".join(f"{line}\n" for line in lines))
    plugins = folder / "plugins"
    plugins.mkdir(mode=0o700, exist_ok=True)
    _write(plugins / DISSECTOR.name, DISSECTOR.read_text())
    return folder


def read_keys(path: Path) -> list[Key]:
    """Return the keys that a run's programs have told, none if there is no file.

    Raises DataError with file and line for a bad key.
    """
    if not path.exists():
        return []
    keys: list[Key] = read_whole(path, Key)  # type: ignore[arg-type]
    for number, key in enumerate(keys, 1):
        if isinstance(key, EspKey):
            try:
                _check(key)
            except ValueError as error:
                raise KeysError(f"{path}: ESP key {number}: {error}") from None
    return keys


def _check(key: EspKey) -> None:
    for name, known in ((key.encryption, ENCRYPTION), (key.integrity, INTEGRITY)):
        if name not in known:
            raise ValueError(f"Wireshark knows no algorithm {name!r}")
    for address in (key.source, key.destination):
        IPv6Address(address)
    for value in (key.encryption_key, key.integrity_key):
        bytes.fromhex(value)


def _esp(key: EspKey) -> tuple[str, ...]:
    # Wireshark looks an SA up by the addresses before or after it has met the Home Address option
    # and the routing header, by version; the SPI is enough.
    return (
        '"IPv6"',
        '"*"',
        '"*"',
        f'"0x{key.spi:08x}"',
        f'"{ENCRYPTION[key.encryption]}"',
        f'"{_hex(key.encryption_key)}"',
        f'"{INTEGRITY[key.integrity]}"',
        f'"{_hex(key.integrity_key)}"',
    )


def _hex(value: str) -> str:
    return f"0x{value}" if value else ""


def _ikev1(key: Ikev1Key) -> tuple[str, ...]:
    return key.initiator_cookie, key.encryption_key


def _ikev2(key: Ikev2Key) -> tuple[str, ...]:
    encryption, integrity = f'"{key.encryption}"', f'"{key.integrity}"'
    return (
        *(key.spi_i, key.spi_r, key.sk_ei, key.sk_er, encryption),
        *(key.sk_ai, key.sk_ar, integrity),
    )


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(",".join(row) for row in rows))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
