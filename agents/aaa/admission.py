"""What one authenticated conversation gives a subscriber, and how the answers tell it."""

from __future__ import annotations

from agents.aaa.choice import Choice
from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment, Protection, Wish
from agents.bootstrap.keys import PskSource, ike_psk, ike_root, ike_secret
from agents.bootstrap.sealed import SealContext, seal
from agents.core.record import Record, Secret, replace
from agents.diameter.mobility import granted_features
from agents.eap.tls import EapKeys


class Admission(Record, frozen=True):
    """A subscriber that TLS has verified, and the choice made for it: once per conversation.

    `protection` and `psk_source` are the server's settings. Without `with_home_address` the home
    agent alone is told, for the home address comes from IKEv2.
    """

    identity: str
    wish: Wish | None
    choice: Choice
    keys: Secret[EapKeys]
    protection: Protection
    psk_source: PskSource
    with_home_address: bool

    @property
    def told(self) -> Assignment | None:
        """What the answer says; a local home agent's network must know the home address."""
        assignment = self.choice.assignment
        if assignment is None or self.with_home_address or self.choice.local:
            return assignment
        return replace(assignment, home_address=None)

    @property
    def root(self) -> bytes:
        """The root key of IKE's pre-shared keys; none where another server keeps the EMSK."""
        return ike_root(self.keys.emsk) if self.keys.emsk else b""

    def features(self) -> int:
        """Return the answer's MIP6-Feature-Vector."""
        return granted_features(home_agent=self.choice.place is not None, local=self.choice.local)

    def final_fields(self) -> dict[str, object]:
        """Return the last answer's fields about the home agent.

        The visited network runs a local home agent: it must know the home address and the key,
        so they are not hidden from it, and sealing only lets the mobile node trust them.
        """
        choice, fields = self.choice, dict[str, object]()
        if self.wish is None:
            return fields
        if choice.local or self.protection == "none":
            fields["assignment"] = self.told
        if choice.local and choice.assignment is not None:
            key = ike_secret(self.psk_source, self.keys.msk, self.root)
            fields["local_home_agent_key"] = ike_psk(key, choice.assignment)
        if self.protection == "sealed":
            fields["sealed_assignment"] = self._sealed(self.wish)
        return fields

    def early_fields(self) -> dict[str, object] | None:
        """Return the fields of the answer before the last, None if the end is to be waited for.

        The mobile node gets the assignment sealed, for nothing protects the PANA message that
        carries it; the NAS is told where IKE must be able to go, and not the home address. A local
        home agent has to wait: the NAS gets its key with the last answer only.
        """
        assignment = self.told
        if self.wish is None or assignment is None or self.choice.place is not Place.HOME:
            return None
        if self.protection != "sealed" or assignment.home_address is None:
            return None
        where = Assignment(assignment.home_agent, assignment.prefix_length)
        return {"assignment": where, "sealed_assignment": self._sealed(self.wish)}

    def _sealed(self, wish: Wish) -> bytes:
        context = SealContext(self.identity, self.keys.session_id, wish)
        return seal(self.told, self.keys.emsk, context)
