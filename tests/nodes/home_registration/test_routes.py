"""Routes to a correspondent node of a mobile node that comes home and leaves again."""

from __future__ import annotations

import pytest

from agents.kernel.model_port import ModelCorrespondent
from agents.kernel.model_routes import ModelRoutes
from agents.nodes.correspondent.machine import Correspondent
from agents.nodes.correspondent.settings import CorrespondentConfiguration
from agents.nodes.home_registration.routes import Routes
from tests.ike import COA, HOA
from tests.mip6.routes import CORRESPONDENT
from tests.nodes.simulated import Network, Node


class MobileNode(Node):
    """A mobile node with a home registration and traffic with the correspondent node."""

    def __init__(self, network):
        super().__init__(network, "A", HOA, COA, COA + 1)
        kernel = ModelRoutes(self.stack.kernel.routes)
        self.routes = Routes(self.host, kernel, HOA, COA, self.log)
        self.routes.registered(420.0)
        self.stack.kernel.routes.wanted.tell(HOA, CORRESPONDENT)


class CorrespondentNode(Node):
    """A correspondent node that takes part."""

    def __init__(self, network):
        super().__init__(network, "C", CORRESPONDENT)
        kernel = ModelCorrespondent(self.stack.kernel, CORRESPONDENT)
        configuration = CorrespondentConfiguration(host="C", address=str(CORRESPONDENT))
        self.program = Correspondent(configuration, self.host, kernel, self.log)
        self.program.start(lambda: None)

    @property
    def bound(self):
        return self.stack.kernel.routes.bound


@pytest.fixture
def network():
    return Network()


def leave_home(mn, cn):
    """Go to another care-of address; the binding follows, and its acknowledgement is taken."""
    before = len(mn.told("RouteOptimised"))
    mn.routes.move(COA + 1)
    mn.routes.registered(420.0)
    mn.logged("RouteOptimised", before + 1)
    assert cn.bound == {(CORRESPONDENT, HOA): COA + 1}


def test_a_correspondent_node_that_was_being_tested_on_the_return_is_heard_away_again(network):
    cn, mn = CorrespondentNode(network), MobileNode(network)
    mn.logged("OptimisationBegun")
    mn.routes.leave()
    leave_home(mn, cn)


def test_a_correspondent_node_that_was_being_told_of_the_return_is_heard_away_again(network):
    cn, mn = CorrespondentNode(network), MobileNode(network)
    mn.logged("RouteOptimised")
    mn.routes.leave()
    mn.routes.come_home()
    leave_home(mn, cn)
