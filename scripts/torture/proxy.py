"""A TCP proxy on loopback that can drop or stall its connections temporarily."""

import asyncio
import contextlib
from typing import Self

_CHUNK = 1 << 16


class Proxy:
    """Proxy for one port of 127.0.0.1. Runs in the event loop in which `start` was awaited."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""

    @property
    def flows(self) -> bool:
        """Whether data passes."""
        return self._flows.is_set()

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def stand_still(self, seconds: float) -> None:
        """Stalls all connections: nothing passes, and they stay open."""
        self._flows.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._flows.set()

    async def cut(self, seconds: float) -> None:
        """Closes all connections, losing data in transit, and closes new ones at once."""
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._is_cut = False

    async def close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a stream's callback runs in a task of its own"
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if not self._is_cut:
                with contextlib.suppress(OSError):  # the engine is down: close this connection, too
                    await self._join(reader, writer)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(back_writer)
        ways = [
            asyncio.create_task(self._pass_on(reader, back_writer)),
            asyncio.create_task(self._pass_on(back_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(back_writer)
            back_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
