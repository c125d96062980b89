"""All topologies for Mininet's own command.

In a clone of this repository: sudo mn --custom topologies/mn.py --topo paper --controller none

mn executes this text and takes over its names, these among them: `Mininet` waits for IPv6
addresses, `CLI` keeps a script to itself, and `cleanup` ends what was started here. mn's own one,
which follows any exception, kills processes by name and removes files and interfaces of others.
"""

import sys
from functools import partial
from pathlib import Path

# There is no __file__, mn's import path lacks the clone, and root's files would be in its way.
sys.path.insert(0, str(Path(sys._getframe().f_code.co_filename).resolve().parent.parent))
sys.dont_write_bytecode = True

try:
    import topologies
    from testbed.run import nodes

    CLI, Mininet, cleanup = nodes.CLI, nodes.Mininet, nodes.cleanup
    topos = {
        name: partial(nodes.mininet_topology, topologies.load(name)) for name in topologies.names()
    }
except Exception as fault:
    sys.exit(f"topologies/mn.py: {fault}")
