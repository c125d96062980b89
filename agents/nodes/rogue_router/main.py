"""The program of an access router that lies."""

from __future__ import annotations

import asyncio

from agents.nodes.access_router.main import serve as serve_access
from agents.nodes.rogue_router.machine import RogueRouter
from agents.nodes.rogue_router.settings import RogueConfiguration
from agents.shell.program import run


async def serve(configuration: RogueConfiguration, stop: asyncio.Event) -> None:
    """Run the rogue until `stop` is set."""
    await serve_access(configuration, stop, RogueRouter)


if __name__ == "__main__":
    run("agents.nodes.rogue_router.main", RogueConfiguration, serve)
