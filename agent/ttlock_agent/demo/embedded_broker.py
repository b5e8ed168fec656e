"""amqtt as a process: ``python -m ttlock_agent.demo.embedded_broker PORT [--needs-user-name]``.

It speaks MQTT 3.1.1 only, and keeps nothing once it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from .broker import HOST, BrokerNotStarted


async def serve(port: int, *, needs_user_name: bool) -> None:
    """Serve on the loopback until cancelled; raises ``BrokerNotStarted`` without amqtt."""
    try:
        from amqtt.broker import Broker  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise BrokerNotStarted("amqtt is not installed here") from error
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {
                    "allow_anonymous": not needs_user_name
                }
            },
        }
    )
    await broker.start()
    try:
        await asyncio.Event().wait()
    finally:
        await broker.shutdown()


async def _main(port: int, *, needs_user_name: bool) -> None:
    task = asyncio.ensure_future(serve(port, needs_user_name=needs_user_name))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), needs_user_name="--needs-user-name" in sys.argv))
