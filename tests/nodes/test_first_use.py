"""What a program imports it imports at its start, so that no exchange waits for it."""

import subprocess
import sys

import dns.message
import dns.rrset
import pytest

PREPARED = """
import sys
import {module}
before = set(sys.modules)
{action}
print(*sorted(set(sys.modules) - before))
"""

KEYS = """
from agents.crypto import dh
import random
rng = random.SystemRandom()
for group in dh.GROUPS:
    dh.generate(group, rng).shared(dh.generate(group, rng).public)
"""

KEY_FILES = """
import tempfile
from agents.shell.keylog import key_log
with tempfile.TemporaryDirectory() as folder:
    key_log(folder).tls("CLIENT_RANDOM 00 00")
"""

LOOKUP = """
from agents.dns.wire import Answer
Answer.decode(bytes.fromhex("{answer}"))
"""


def imported(module, action):
    """Return what an action imports that importing a program's module has not."""
    script = PREPARED.format(module=module, action=action)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("node", ["mobile_node", "home_network", "home_agent", "ike_daemon"])
def test_keys_need_nothing_more(node):
    assert imported(f"agents.nodes.{node}.main", KEYS) == []


def test_files_of_keys_need_nothing_more():
    assert imported("agents.nodes.mobile_node.main, tempfile", KEY_FILES) == []


def test_answers_of_a_name_server_need_nothing_more():
    query = dns.message.make_query("_mip6._ipv6.home.test.", "SRV", use_edns=0, payload=1232)
    response = dns.message.make_response(query)
    response.answer.append(
        dns.rrset.from_text("_mip6._ipv6.home.test.", 60, "IN", "SRV", "0 0 0 ha.home.test.")
    )
    response.authority.append(dns.rrset.from_text("home.test.", 60, "IN", "NS", "ns.home.test."))
    response.additional.append(
        dns.rrset.from_text("ha.home.test.", 60, "IN", "AAAA", "2001:db8:100::1")
    )
    answer = response.to_wire().hex()
    assert imported("agents.nodes.mobile_node.main", LOOKUP.format(answer=answer)) == []
