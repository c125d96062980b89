"""The mobile node's EAP peers, with their certificates read."""

from __future__ import annotations

from collections.abc import Callable

from agents.eap.peer import EapPeer
from agents.eap.tls import TlsClientConfig
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.settings import EapSettings


class EapPeers:
    """Makes EAP peers that share one TLS context; raises TlsConfigError for a bad file."""

    def __init__(
        self,
        settings: EapSettings,
        keys: KeyLog,
        make: Callable[..., TlsClientConfig] = TlsClientConfig,
    ) -> None:
        self._settings = settings
        self._tls = make(
            **settings.tls.arguments(), server_names=(settings.server_name,), keylog=keys.tls
        )
        self._tls.prepare()

    def __call__(self) -> EapPeer:
        """Return a peer for one conversation."""
        settings = self._settings
        return EapPeer(settings.identity, self._tls, fragment_size=settings.fragment_size)
