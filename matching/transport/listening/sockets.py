"""Sockets that listen on TCP: they count the bytes of each connection, for `connections`."""

import zmq

from matching.transport.listening.connections import Traffic
from matching.transport.sockets import LAST, POLLIN, Frame, RawSocket, ZmqSocket


class RouterSocket(ZmqSocket):
    """A listening ROUTER on TCP, whose connections are bounded (see `connections`)."""

    def __init__(self, raw: RawSocket, traffic: Traffic) -> None:
        super().__init__(raw)
        self._traffic = traffic
        self._message: zmq.Frame | None = None  # the second frame of the newest message

    def receive(self) -> list[bytes] | None:
        raw = self.raw
        if not zmq.zmq_poll([(raw, POLLIN)], 0):
            self._traffic.times_empty += 1
            return None
        routing_id = raw.recv(LAST)
        # libzmq tells the connection and the sender's key of a message only, not of a copy of its bytes.
        self._message = message = raw.recv(LAST, copy=False, track=False)
        frames = [routing_id, message.bytes]
        if message.more:
            frames += raw.recv_multipart(LAST)
        descriptor = property_of(message, zmq.SRCFD)
        if descriptor is not None:
            self._traffic.count_received(routing_id, int(descriptor), frames)
        return frames

    def send(self, *frames: Frame) -> None:
        super().send(*frames)
        self._traffic.count_sent(bytes(frames[0]), sum(map(len, frames)))


class PublisherSocket(ZmqSocket):
    """A listening PUB socket on TCP, whose connections are bounded."""

    def __init__(self, raw: RawSocket, traffic: Traffic) -> None:
        super().__init__(raw)
        self._traffic = traffic

    def send(self, *frames: Frame) -> None:
        super().send(*frames)
        self._traffic.count_published(sum(map(len, frames)))


def property_of(message: zmq.Frame, name: int | str) -> int | str | None:
    """A property of a received message. None: messages of peers that speak an old version of ZMTP have none."""
    try:
        return message.get(name)
    except zmq.ZMQError:
        return None
