"""Echo server: the bare ZeroMQ round trip with which the engine's latency is compared.

Run as `python -m benchmarks.bare_echo ADDRESS`. A request has two frames; the first four bytes of the second frame give
the size of the answer's second frame. An empty second frame stops the server.
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
    """A request of `request_bytes` that asks for an answer of `answer_bytes`."""
    return answer_bytes.to_bytes(SIZE_BYTES, "little").ljust(request_bytes, b"\0")


if __name__ == "__main__":
    serve(sys.argv[1])
