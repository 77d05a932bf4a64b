"""Who receives which stream. An event is encoded once for all of its receivers that want it in the same form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import orjson

from gateway.server.frames import frame
from gateway.streams.names import Kind, Stream

Build = Callable[[int], object]
"""Makes the event as JSON-able object, with times in units of so many nanoseconds."""


class Form(NamedTuple):
    """How a connection wants its events."""

    unit_ns: int  # of times
    is_combined: bool  # wrapped with the name of the stream


class Receiver(Protocol):
    """Sending never ends a subscription at once, so receivers can be iterated over meanwhile."""

    @property
    def form(self) -> Form: ...

    def send_frame(self, framed: bytes) -> None:
        """Never waits, and never fails."""

    def send_newest_frame(self, name: str, framed: bytes) -> None:
        """Like `send_frame`, but an event of the same name that was not sent yet may be left out."""


@dataclass(slots=True)
class Channel:
    """The receivers of one stream, by the form of their events."""

    stream: Stream
    receivers: dict[Form, dict[Receiver, None]] = field(default_factory=dict)

    def framed(self, form: Form, build: Build) -> bytes:
        event = orjson.dumps(build(form.unit_ns))
        if form.is_combined:
            event = b'{"stream":"%b","data":%b}' % (self.stream.name.encode("ascii"), event)
        return frame(event)


class Channels:
    """All streams with a receiver."""

    def __init__(self) -> None:
        self._by_name: dict[str, Channel] = {}
        self._by_kind: dict[tuple[Kind, str], dict[str, Channel]] = {}
        self.subscription_count = 0
        """Receivers of all streams; one that receives two streams counts twice."""

    def add(self, stream: Stream, receiver: Receiver) -> None:
        channel = self._by_name.get(stream.name)
        if channel is None:
            channel = self._by_name[stream.name] = Channel(stream)
            self._by_kind.setdefault((stream.kind, stream.symbol), {})[stream.name] = channel
        receivers = channel.receivers.setdefault(receiver.form, {})
        self.subscription_count += receiver not in receivers
        receivers[receiver] = None

    def remove(self, stream: Stream, receiver: Receiver) -> None:
        channel = self._by_name.get(stream.name)
        if channel is None:
            return
        for form, receivers in list(channel.receivers.items()):
            if receiver in receivers:
                self.subscription_count -= 1
                del receivers[receiver]
            if not receivers:
                del channel.receivers[form]
        if not channel.receivers:
            del self._by_name[stream.name]
            of_kind = self._by_kind[stream.kind, stream.symbol]
            del of_kind[stream.name]
            if not of_kind:
                del self._by_kind[stream.kind, stream.symbol]

    def of(self, kind: Kind, symbol: str = "") -> tuple[Channel, ...]:
        """Those of one kind and instrument: several, if the names have parameters."""
        found = self._by_kind.get((kind, symbol))
        return tuple(found.values()) if found else ()

    def of_kind(self, kind: Kind) -> Iterator[Channel]:
        for (one, _), channels in list(self._by_kind.items()):
            if one is kind:
                yield from list(channels.values())

    @staticmethod
    def publish(channel: Channel, build: Build) -> None:
        for form, receivers in channel.receivers.items():
            framed = channel.framed(form, build)
            for receiver in receivers:
                receiver.send_frame(framed)

    @staticmethod
    def publish_newest(channel: Channel, build: Build) -> None:
        """For a stream whose event replaces the one before."""
        for form, receivers in channel.receivers.items():
            framed = channel.framed(form, build)
            for receiver in receivers:
                receiver.send_newest_frame(channel.stream.name, framed)
