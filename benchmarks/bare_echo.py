"""The bare ZeroMQ round trip that answers are compared with: a ROUTER that does nothing but send bytes back.

Run as `python -m benchmarks.bare_echo ADDRESS`. A request is two frames; the first four bytes of the second say how
many bytes the answer's second frame has. An empty second frame ends it.
"""

import sys

import zmq

from matching.transport.sockets import RawSocket

SIZE_BYTES = 4


def serve(address: str) -> None:
    context: zmq.Context[RawSocket] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind(address)
    try:
        while True:
            sender, verb, payload = socket.recv_multipart()
            if not payload:
                return
            socket.send_multipart([sender, verb, bytes(int.from_bytes(payload[:SIZE_BYTES], "little"))])
    finally:
        socket.close(linger=0)
        context.term()


def request(request_bytes: int, answer_bytes: int) -> bytes:
    """A request of so many bytes for an answer of so many."""
    return answer_bytes.to_bytes(SIZE_BYTES, "little").ljust(request_bytes, b"\0")


if __name__ == "__main__":
    serve(sys.argv[1])
