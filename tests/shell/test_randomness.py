"""The stock of random octets."""

import os

from agents.shell.randomness import RANDOM, StockedRandom


def test_no_octets_come_twice():
    rng = StockedRandom()
    found = {rng.randbytes(8) for _ in range(1000)}
    assert len(found) == 1000
    assert len(rng.randbytes(5000)) == 5000


def test_numbers_are_in_their_ranges():
    rng = StockedRandom()
    assert all(0 <= rng.random() < 1 for _ in range(1000))
    assert {rng.getrandbits(3) for _ in range(1000)} == set(range(8))
    assert {rng.randrange(5) for _ in range(1000)} == set(range(5))


def test_a_fork_shares_no_octets():
    RANDOM.randbytes(1)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, RANDOM.randbytes(16))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 16) != RANDOM.randbytes(16)
    os.close(reader)
    os.close(writer)
