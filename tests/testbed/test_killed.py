"""An experiment that is killed at any moment leaves nothing behind but what can be gone on with.

`python -m tests.testbed.killed 300` tries more moments than are tried here.
"""

import pytest

from tests.testbed import killed

LONGEST = 6.0


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    return killed.prepare(tmp_path_factory.mktemp("services"))


@pytest.mark.parametrize("seed", range(4))
def test_a_simulation_killed_at_any_moment_goes_on_where_it_was(tmp_path, services, seed):
    place = killed.Place(tmp_path, "sim", services=services)

    killed.try_out(place, killed.Moment.of(seed, LONGEST))
