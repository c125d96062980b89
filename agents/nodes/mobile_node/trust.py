"""What a mobile node believes of its home agent, and the key for IKE that follows from EAP."""

from __future__ import annotations

from agents.bootstrap.assignment import Assignment, Protection, Wish
from agents.bootstrap.keys import PskSource, ike_psk, ike_root, ike_secret
from agents.bootstrap.sealed import SealContext, SealError, unseal
from agents.core.unicast import is_unicast
from agents.eap.tls import EapKeys
from agents.nodes.mobile_node.access import Granted
from agents.nodes.mobile_node.settings import WishName


class Trust:
    """With `protection` "sealed" only what the home AAA server has sealed counts.

    `preshared` is a preconfigured key for IKE; without it the key comes from EAP.
    """

    def __init__(
        self,
        identity: str,
        wish: WishName | None,
        *,
        protection: Protection,
        psk_source: PskSource,
        preshared: bytes | None,
    ) -> None:
        self._identity = identity
        self._wish = Wish.of(home=wish == "home", local=wish == "local")
        self._protection = protection
        self._psk_source = psk_source
        self.preshared = preshared

    def assignment(self, granted: Granted, foretold: Assignment | None) -> Assignment | None:
        """Return the assignment to believe, None if there is none.

        `foretold` is one that was sealed before. Raises SealError if the sealed one is missing,
        forged or another, or if no home agent can have its address.
        """
        if self._protection == "none":
            return _possible(granted.assignment)
        if granted.sealed is None or granted.keys is None:
            raise SealError("the sealed home agent is missing")
        assignment = self.unseal(granted.sealed, granted.keys)
        if foretold not in (None, assignment):
            raise SealError("another home agent was sealed before")
        return assignment

    def unseal(self, sealed: bytes, keys: EapKeys) -> Assignment | None:
        """Return what the home AAA server has sealed for these keys of EAP; raises SealError."""
        context = SealContext(self._identity, keys.session_id, self._wish)
        return _possible(unseal(sealed, keys.emsk, context))

    def psk(self, assignment: Assignment, keys: EapKeys | None) -> bytes | None:
        """Return IKE's pre-shared key, None if there is neither one nor keys of EAP."""
        if self.preshared is not None:
            return self.preshared
        if keys is None:
            return None
        return ike_psk(ike_secret(self._psk_source, keys.msk, ike_root(keys.emsk)), assignment)


def _possible(assignment: Assignment | None) -> Assignment | None:
    if assignment is not None and not is_unicast(assignment.home_agent):
        raise SealError(f"no home agent can have the address {assignment.home_agent}")
    return assignment
