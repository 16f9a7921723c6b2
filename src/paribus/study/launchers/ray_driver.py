"""The process that talks to Ray: one actor a slot, trials in and results out as JSON lines.

A process of its own, because Ray ends the one it lives in when its cluster goes away, and because a cluster ends the
actors of a driver that is gone: killing this process leaves nothing behind, within a second. It keeps no record; what
to run, and what an actor's death means for its trial, is decided in `on_ray`.

In: {"slot": 0, "package": {...}}. Out: {"event": "slots", "number": 4}, {"event": "retired" | "fatal", "reason": ...},
{"event": "ready" | "progress" | "result" | "lost", "slot": 0, ...}.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from paribus.study.launchers.remote import RemoteRunner, remote_environment

_LOOK_EVERY = 0.3  # seconds between looks at how far trials are
_KNOCK_SECONDS, _CONNECT_SECONDS, _GRACE_SECONDS = 10, 90, 10
_STARTS = 3  # of an actor that fails each time before its slot is given up

_LOOKS = "looks"  # what an actor answers while a trial runs

Send = Callable[..., None]


class TrialActor:
    """One slot on some node: runs trials, and says in the meantime how far it is."""

    def __init__(self, terms: Mapping[str, Any], checkpoint_seconds: float) -> None:
        self._runner = RemoteRunner(terms=terms, checkpoint_seconds=checkpoint_seconds)
        self._tokens = 0

    def ready(self) -> None:
        """Answers once the actor runs."""

    def run(self, package: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one trial."""
        self._tokens = 0
        return self._runner.run(package, progress=self._done)

    def tokens(self) -> int:
        """Tokens done of the trial that runs."""
        return self._tokens

    def _done(self, tokens: int) -> None:
        self._tokens = tokens


def main() -> None:
    """`python -m paribus.study.launchers.ray_driver SETTINGS`, which is JSON; see `on_ray.RayLauncher`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the study stops us
    # What Ray prints must not mix with the protocol.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(event: str, **more: Any) -> None:
        try:
            out.write(json.dumps({"event": event, **more}) + "\n")
        except BrokenPipeError:
            os._exit(0)

    settings = json.loads(sys.argv[1])

    def give_up() -> None:
        send("fatal", reason=f"no answer in {_CONNECT_SECONDS} seconds")
        os._exit(1)

    patience = threading.Timer(_CONNECT_SECONDS, give_up)  # Ray itself has more than anybody
    patience.daemon = True
    patience.start()
    # Where Ray waits with Python's lock in its hands no thread of Python ends it.
    faulthandler.dump_traceback_later(_CONNECT_SECONDS + _GRACE_SECONDS, exit=True)
    try:
        _knock(settings["address"])
        import ray

        ray.init(address=settings["address"], log_to_driver=False, logging_level=logging.ERROR)
        slots, gpus = _division(settings)
    except Exception as error:  # noqa: BLE001 - no connection, other versions, a wrong address: all end here
        send("fatal", reason=_lines(error)[0])
        sys.exit(1)
    patience.cancel()
    faulthandler.cancel_dump_traceback_later()
    send("slots", number=slots)
    asyncio.run(_serve(settings, slots, gpus, send))


def _knock(address: str) -> None:
    """Raise `OSError` at once if nothing listens at HOST:PORT, which Ray takes minutes to find out."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in address:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()


def _division(settings: Mapping[str, Any]) -> tuple[int, float]:
    """Slots of this study and GPUs of each: one where the cluster has any. As many as it holds, unless given."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = settings["gpus"]
    if gpus is None:
        gpus = float(any(node.get("GPU", 0) >= 1 for node in nodes))
    unit, each = ("GPU", gpus) if gpus else ("CPU", settings["threads"])
    return settings["workers"] or max(1, sum(int(node.get(unit, 0) // each) for node in nodes)), gpus


async def _serve(settings: Mapping[str, Any], slots: int, gpus: float, send: Send) -> None:
    inboxes: list[asyncio.Queue[dict[str, Any]]] = [asyncio.Queue() for _ in range(slots)]
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            message = json.loads(line)
            loop.call_soon_threadsafe(inboxes[message["slot"]].put_nowait, message["package"])
        os._exit(0)  # the study is gone, and so are its actors with us

    threading.Thread(target=read, daemon=True).start()
    await asyncio.gather(*(_keep(slot, settings, gpus, inbox, send) for slot, inbox in enumerate(inboxes)))


async def _keep(
    slot: int, settings: Mapping[str, Any], gpus: float, inbox: asyncio.Queue[dict[str, Any]], send: Send
) -> None:
    """Keep an actor in this slot, a new one whenever it dies, until none can be started."""
    import ray

    remote: Any = ray.remote  # whose types know nothing of concurrency groups
    make = remote(
        num_cpus=settings["threads"],
        num_gpus=gpus,
        max_restarts=0,
        scheduling_strategy="SPREAD",
        concurrency_groups={_LOOKS: 1},
        runtime_env={"env_vars": remote_environment(settings["threads"])},
    )(TrialActor)
    failed, reason = 0, ""
    while failed < _STARTS:
        ready, actor = False, make.remote(settings["terms"], settings["checkpoint_seconds"])
        try:
            await asyncio.wait_for(_get(actor.ready.remote()), settings["start_seconds"])
            failed, ready = 0, True
            send("ready", slot=slot)
            while True:
                send("result", slot=slot, result=await _run(actor, slot, await inbox.get(), send))
        except TimeoutError:
            wants = f"{gpus:g} GPU" if gpus else f"{settings['threads']} CPUs"
            reason = f"in {settings['start_seconds']:g} seconds no node had {wants} free for a worker"
            break
        except ray.exceptions.RayError as error:
            said = _lines(error)[0 if ready else -1]  # the cause of a bad start comes last
            failed, reason = failed + 1, f"the Ray actor {'died' if ready else 'did not start'}: {said}"
            send("lost", slot=slot, reason=reason)
        finally:
            ray.kill(actor)
    send("retired", slot=slot, reason=reason)


async def _run(actor: Any, slot: int, package: Mapping[str, Any], send: Send) -> dict[str, Any]:
    """The result of a trial; tells how far it is in the meantime. Raises `RayError` if the actor is lost."""
    running = asyncio.ensure_future(_get(actor.run.remote(package)))
    while not running.done():
        await asyncio.wait([running], timeout=_LOOK_EVERY)
        if not running.done():
            looking = asyncio.ensure_future(_get(actor.tokens.options(concurrency_group=_LOOKS).remote()))
            await asyncio.wait([running, looking], return_when=asyncio.FIRST_COMPLETED)
            if looking.done() and looking.exception() is None:
                send("progress", slot=slot, tokens=looking.result())
    return await running


async def _get(reference: Any) -> Any:
    return await reference


def _lines(error: Exception) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]


if __name__ == "__main__":
    main()
