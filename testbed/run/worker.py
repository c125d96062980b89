"""One run inside its own namespaces."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from ipaddress import IPv6Address
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any

from agents.approaches import Program
from agents.core.patience import patient
from testbed.base.files import last_line
from testbed.experiment.steps import TRAFFIC_INTERVAL
from testbed.run import held, throughput
from testbed.run.capture import Capture, start_captures
from testbed.run.course import ROUND_TRIPS, Course, ExpectedError, RunError
from testbed.run.cpu import CpuError, Processors, slowed
from testbed.run.events import Events
from testbed.run.net import Network, network
from testbed.run.nodes import NetError, Process, stop
from testbed.run.parts import Shells, Told
from testbed.run.paths import Payload
from testbed.run.probe import REPLY_DEADLINE, Echo, Measurement, Traffic
from testbed.run.programs import Forked
from testbed.run.usage import Meter
from topologies.model import HostRole

_PROBE_INTERVAL = 0.02


class Worker(Course):
    """Carries out one run: one bootstrap of a mobile node that knows nothing yet."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._forked: dict[str, Forked] = {}
        self._processes: dict[str, Process] = {}
        self._processors: Processors | None = None
        self._meter: Meter | None = None
        self._captures: list[Capture] = []
        self._transfers = count(1)

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _fork(self, net: Network, events: Events, programs: Sequence[Program]) -> None:
        """Have warm programs wait in their hosts, with nothing left to do but begin."""
        for program in programs:
            argument, log = str(self._configuration(program)), self._log(program.name)
            self._forked[program.name] = Forked(
                net, program.host, program.module, argument, events.writer, log
            )
        for process in self._forked.values():
            process.wait_until_populated()

    def _start(self, net: Network, events: Events, program: Program) -> None:
        if forked := self._forked.pop(program.name, None):
            self._processes[program.name] = forked
            forked.go()
            return
        command = [sys.executable, "-m", program.module, str(self._configuration(program))]
        with self._log(program.name).open("ab") as log:
            self._processes[program.name] = net.start(
                program.host, command, stdout=events.writer, stderr=log
            )

    def _assign_processors(self) -> None:
        """Let the programs that run in the hosts, and what they start, go on more slowly."""
        if self._processors:
            for name, process in self._processes.items():
                self._processors.assign(name.partition("-")[0], process.pid)

    def _slow_down(self, stack: ExitStack) -> None:
        """Give the hosts slower processors if the settings ask for them."""
        ghz = getattr(self.settings, "processor_ghz", 0.0)
        if ghz:
            name = f"mip6lab-{self.folder.parent.parent.name}-{self.planned.run}-{token_hex(4)}"
            self._processors = stack.enter_context(slowed(name, ghz))

    def _check_processes(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                last = last_line(self._log(name))
                raise RunError(f"{name} ended with status {process.returncode}: {last}")

    def _events(self, events: Told, seconds: float, waiting_for: str) -> Iterator[dict[str, Any]]:
        """Yield events until the caller has enough; RunError at the deadline."""
        seconds = patient(seconds)
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            event = events.next(min(deadline, now + 0.5))
            if event is None:
                self._check_processes()
            else:
                self._take_note(event)
                yield event
        raise RunError(f"no {waiting_for} within {seconds:g} s")

    def _start_programs(
        self,
        net: Network,
        events: Events,
        others: Sequence[Program],
        mobile_node: Sequence[Program],
    ) -> None:
        """Start every program; all but the mobile node's must say that they are ready.

        Events from before that, such as first attempts to connect, are of no interest. Then links
        go wrong that should.
        """
        for program in others:
            self._start(net, events, program)
        self._wait_until_ready(events, Counter(program.host for program in others))
        net.go_wrong()
        self._begin(net, events, mobile_node)
        self._assign_processors()

    def _begin(self, net: Network, events: Events, mobile_node: Sequence[Program]) -> None:
        """Start the mobile node's programs; what is used from now on counts."""
        self._meter = Meter(process.pid for process in self._all_processes())
        for program in mobile_node:
            self._start(net, events, program)

    def _all_processes(self) -> Collection[Process]:
        """Return those that have begun, and those that wait to."""
        return {**self._forked, **self._processes}.values()

    def _read_meter(self) -> None:
        """Note what each program has used since the mobile node started."""
        if self._meter:
            running = {name: process.pid for name, process in self._processes.items()}
            self.programs = self._meter.read(running)

    def _reach(self, echoes: Mapping[str, Echo], home_address: IPv6Address) -> Echo:
        """Send echo requests from its correspondent node until the mobile node answers."""
        echo = echoes[self._correspondent(home_address)]
        deadline = time.monotonic() + patient(self._reachable_deadline)
        while time.monotonic() < deadline:
            echo.send(home_address)
            if echo.receive(_PROBE_INTERVAL) is not None:
                return echo
        raise RunError(f"the correspondent node gets no answer from {home_address}")

    def _now(self) -> float:
        return time.monotonic()

    def _run(self, net: Network, events: Events) -> None:
        started = time.monotonic()
        measurement = Measurement(net, self.topology.links)
        others, mobile_node = self._compose()
        if self.warm:
            self._fork(net, events, [*others, *mobile_node])
        events.collect()
        started = self._timed("fork", started)
        self.measured = {name: asdict(m) for name, m in measurement.carry_out().items()}
        started = self._timed("measure", started)
        self._captures = start_captures(net, self._captured())
        correspondents = self.topology.hosts_with(HostRole.CORRESPONDENT_NODE)
        echoes = {host: Echo(net, host) for host in correspondents}
        self._start_programs(net, events, others, mobile_node)
        started = self._timed("start", started)
        try:
            home_address = self._bootstrap(net, events)
        finally:
            self._read_meter()
        echo = self._reach(echoes, home_address)
        self._tell_recovery()
        started = self._timed("bootstrap", started)
        if self._after_bootstrap:
            self._live(net, events, Traffic(echo, home_address, TRAFFIC_INTERVAL))
            self._timed("steps", started)

    def _round_trips(self, net: Any, host: str, address: IPv6Address) -> list[float]:
        with closing(Echo(net, host)) as echo:
            return [
                t
                for _ in range(ROUND_TRIPS)
                for t in echo.round_trips(echo.send_all((address,)), REPLY_DEADLINE)
            ]

    def _transfer(self, net: Any, payload: Payload) -> dict[str, Any]:
        """Transfer payload; captures keep nothing of it that would fill them."""
        folder = self.folder / "throughput" / f"{next(self._transfers):02}"
        folder.mkdir(parents=True)
        with ExitStack() as stack:
            for capture in () if payload.transfer.beside else self._captures:
                stack.enter_context(capture.paused())
            try:
                return throughput.measure(net, payload, folder)
            except throughput.TransferError as error:
                raise RunError(f"throughput towards the {payload.towards}: {error}") from None

    def _amounts(self, net: Any) -> held.Amounts:
        """Return what the programs and the hosts' kernels hold now."""
        programs = {name: process.pid for name, process in self._processes.items()}
        return held.of_programs(programs) | held.of_hosts(net) | held.of_kernel()

    def _let_pass(self, seconds: float) -> None:
        """Let time pass, and have the run fail if a program ends meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            self._check_processes()

    def _kill(self, host: str) -> None:
        """Kill a host's programs, each with what it has started."""
        for name in [name for name in self._processes if name.startswith(f"{host}-")]:
            process = self._processes.pop(name)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start_again(self, net: Shells, events: Told, host: str) -> None:
        """Start a host's programs, as a machine does that boots: they are cold."""
        for program in self._composed:
            if program.host == host:
                self._start(net, events, program)  # type: ignore[arg-type]  # They are real here.
                self._expect_ready(host)
        self._assign_processors()

    def _tell(self, host: str, lines: str) -> None:
        """Give lines to a host's program that takes commands; daemons beside it take none."""
        for program in self._composed:
            process = self._processes.get(program.name) if program.host == host else None
            if process and process.stdin and program.commands:
                process.stdin.write(lines.encode())
                process.stdin.flush()
                return
        raise RunError(f"no program runs in host {host}")

    def _finish(self) -> None:
        """End captures and agents, in this order, and keep the captures."""
        captures = self._captures
        dropped = sum(capture.stop() for capture in captures)
        for process in self._all_processes():
            process.send_signal(signal.SIGTERM)
        for process in self._all_processes():
            stop(process)
        key_log = self.folder / "keys" / "tls.keys"
        secrets = key_log.read_bytes() if key_log.exists() else b""
        for capture in captures:
            capture.write(self.folder / "captures" / f"{capture.host}.pcapng", secrets)
        if dropped:
            raise RunError(f"the kernel dropped {dropped} packets of the captures")
        if set_by := max((capture.step for capture in captures), key=abs, default=0.0):
            raise RunError(
                f"the clock was set by {set_by:+.3f} s during the run: its captures tell no times"
            )

    def execute(self) -> dict[str, Any]:
        """Carry out the run; return its line for runs.jsonl, without what analysis adds."""
        status, reason = "ok", None
        begun = time.monotonic()
        try:
            with ExitStack() as stack:
                self._entered("network")
                self._slow_down(stack)
                net = stack.enter_context(network(self.topology))
                self._timed("network", begun)
                events = Events(self.folder / "events.jsonl")
                stack.callback(events.close)
                try:
                    self._run(net, events)
                finally:
                    ended = time.monotonic()
                    self._finish()
            self._timed("teardown", ended)
        except (RunError, NetError, CpuError, OSError) as error:
            status, reason = "failed", str(error)
        except ExpectedError as end:
            status, self.outcome = "expected", str(end)
        self._timed("total", begun)
        result = self._result(status, reason)
        if self._processors:
            result["processor"] = asdict(self._processors.processor)
        return result
