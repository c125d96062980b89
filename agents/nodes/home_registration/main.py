"""The program of the mobile node's Mobile IPv6 daemon, which the launch script starts."""

from __future__ import annotations

import asyncio
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.kernel.mobile_node import LinuxMobileNode
from agents.nodes.home_registration.machine import RegistrationService
from agents.nodes.home_registration.settings import RegistrationConfiguration
from agents.nodes.retry import Attempts, Retry
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import end_with_owner, run


async def serve(configuration: RegistrationConfiguration, stop: asyncio.Event) -> None:
    """Run the daemon until `stop` is set."""
    end_with_owner(stop)
    kernel, host = LinuxMobileNode(), LinuxHost()
    log = EventLog(configuration.host, "role", OUTPUT)
    attempts, retry = Attempts(log), Retry(host, lambda: service.renew())  # noqa: PLW0108

    def failed(reason: str, *, refused: bool) -> None:
        attempts.fail("binding", reason)
        retry.later(refused=refused)

    service = RegistrationService(
        host,
        home_address=IPv6Address(configuration.home_address),
        home_agent=IPv6Address(configuration.home_agent),
        care_of=IPv6Address(configuration.care_of),
        lifetime=configuration.lifetime,
        kernel=kernel,
        log=log,
        habits=configuration.habits,
        on_failure=failed,
        on_unanswered=partial(attempts.fail, "binding"),
    )
    await stop.wait()
    retry.close()
    service.close()


def main() -> None:
    """Run the program."""
    run("agents.nodes.home_registration.main", RegistrationConfiguration, serve)


if __name__ == "__main__":
    main()
