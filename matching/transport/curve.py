"""CURVE on TCP sockets: each side proves that it holds its key, and the key register has the key's name and role.

A listening socket closes every connection whose key is not registered, is revoked, or has a role that the socket does
not admit (ZAP, ZeroMQ RFC 27). libzmq reports for each message which key sent it; routing ids are not used for that,
because the peer chooses them. A connecting socket accepts only an engine's key at the other end.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from matching.transport.key_register import KeyRegister, KeyRole, OwnKey, RegisteredKey
from matching.transport.listening.connections import Traffic
from matching.transport.listening.sockets import PublisherSocket, RouterSocket, property_of
from matching.transport.sockets import Frame, RawSocket, Undelivered, ZmqSocket

log = structlog.get_logger(__name__)

SERVER_ROLES = (KeyRole.ENGINE, KeyRole.FOLLOWER)
"""Roles of the keys that a connecting socket accepts at the other end."""

_RETRY_S = 0.3
"""Pause after all known engine keys have failed at an address."""
_LONG_MS = 1 << 30
_LOG_INTERVAL_S = 1.0
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


@dataclass(frozen=True, slots=True)
class Security:
    """The key of this process, and a function that returns the newest key register. Any thread may call it."""

    own: OwnKey
    register: Callable[[], KeyRegister]


class Admission:
    """Decides in a thread of its own which keys may connect to the listening sockets of a context."""

    def __init__(self, context: "zmq.Context[RawSocket]", security: Security) -> None:
        self._security = security
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()

    def admit(self, address: str, roles: Collection[KeyRole]) -> None:
        """Admits keys of `roles` to the socket whose ZAP domain is `address`."""
        self._authenticator.configure_curve_callback(address, _KeyCheck(self._security.register, frozenset(roles)))

    def stop(self) -> None:
        self._authenticator.stop()


class _KeyCheck:
    """Decides which keys are admitted to one address. Called in the authenticator's thread only."""

    def __init__(self, register: Callable[[], KeyRegister], roles: frozenset[KeyRole]) -> None:
        self._register = register
        self._roles = roles
        self._refused = 0  # since the last line in the log
        self._logged_at_s = 0.0

    def callback(self, domain: str, key: bytes) -> bool:
        """The name is pyzmq's."""
        public = key.decode("ascii")
        found = self._register().find(public)
        if found is not None and not found.revoked and found.role in self._roles:
            return True
        self._note_refused(domain, public, found)
        return False

    def _note_refused(self, address: str, public: str, found: RegisteredKey | None) -> None:
        """Logs one refusal a second at most: a stranger must not fill the log."""
        self._refused += 1
        now_s = time.monotonic()
        if now_s - self._logged_at_s < _LOG_INTERVAL_S:
            return
        reason = "unknown" if found is None else "revoked" if found.revoked else f"role {found.role}"
        log.warning("transport.key_refused", address=address, key=public, reason=reason, refused=self._refused)
        self._logged_at_s, self._refused = now_s, 0


class CurveRouterSocket(RouterSocket):
    """A ROUTER that knows the key of each message's sender."""

    def __init__(self, raw: RawSocket, traffic: Traffic, security: Security) -> None:
        """Raises ZMQError."""
        super().__init__(raw, traffic)
        self._register = security.register
        _listen(raw, traffic.address, security.own)

    @property
    def peer(self) -> RegisteredKey | None:
        sender = property_of(self._message, "User-Id") if self._message else None
        return self._register().find(str(sender)) if sender else None


class CurvePublisherSocket(PublisherSocket):
    """A PUB socket that closes all connections when a key is revoked: libzmq cannot close those of one key.

    The others connect again, and request the blocks that they missed.
    """

    def __init__(self, raw: RawSocket, traffic: Traffic, security: Security) -> None:
        """Raises ZMQError."""
        super().__init__(raw, traffic)
        self._register = security.register
        _listen(raw, traffic.address, security.own)
        self._seen = self._register()
        self._endpoint = raw.getsockopt_string(zmq.LAST_ENDPOINT)
        self._is_listening = True

    def send(self, *frames: Frame) -> None:
        register = self._register()
        if register is not self._seen:
            revoked, self._seen = _revoked(register) - _revoked(self._seen), register
            if revoked and self._is_listening:
                self.raw.unbind(self._endpoint)
                self._is_listening = False
        if self._is_listening:
            super().send(*frames)
        else:  # this message is for nobody: a connection that is still being closed could be that of the revoked key
            self._listen()

    def _listen(self) -> None:
        with suppress(zmq.ZMQError):  # libzmq closes the old listener in its own thread: tried again at the next send
            self.raw.bind(self._endpoint)
            self._is_listening = True


class ConnectedSocket(ZmqSocket):
    """A socket that connects to an engine. If several engine keys are known, it tries them in turn.

    libzmq does not repeat every failed handshake, so each failure is followed by a new raw socket. Messages that were
    sent before the first successful handshake are carried over.
    """

    def __init__(
        self,
        make_raw: Callable[[], RawSocket],
        connect: Callable[[RawSocket], object],
        *,
        address: str,
        queue: int,
        security: Security,
        proved: MutableMapping[str, str],
    ) -> None:
        """`connect` may raise AddressUnusable. `proved` keeps the key that each address has proved."""
        super().__init__(make_raw())
        self._make_raw = make_raw
        self._connect = connect
        self._address = address
        self._security = security
        self._proved = proved
        self._problem = ""
        self._early: deque[tuple[Frame, ...]] = deque(maxlen=queue)
        self._is_established = False
        self._retry_at_s: float | None = None
        self._seen = security.register()
        self._untried = self._candidates()
        self.monitor = self.raw.get_monitor_socket(_EVENTS)
        self._server = self._open()

    @property
    def peer(self) -> RegisteredKey | None:
        return self._security.register().find(self._server)

    @property
    def problem(self) -> str:
        return self._problem

    def send(self, *frames: Frame) -> None:
        super().send(*frames)
        if not self._is_established:
            self._early.append(frames)

    def close(self, linger_ms: int = 0) -> None:
        if not self.raw.closed:
            self.raw.disable_monitor()
            self.monitor.close(0)
        super().close(linger_ms)

    def check_connection(self) -> int:
        """Handles events of the connection. Returns the time in milliseconds after which to call this again."""
        while not self.monitor.closed and self.monitor.poll(0):
            self._handle(recv_monitor_message(self.monitor)["event"])
        register = self._security.register()
        if register is not self._seen:
            self._seen = register
            if self._server not in self._acceptable(register):
                self._fail("")
        if self._retry_at_s is None:
            return _LONG_MS
        left_s = self._retry_at_s - time.monotonic()
        if left_s > 0:
            return int(left_s * 1000) + 1
        self._reopen()
        return _LONG_MS

    def _handle(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._is_established = True
            self._problem = ""
            self._proved[self._address] = self._server
            self._early.clear()
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            own = self._security.own
            self._untried = self._candidates()  # the engine proved its key: begin with it again
            self._fail(
                f"The engine at {self._address} refuses the key {own.name} ({own.role}): it is not registered, is "
                "revoked, or its role may not use this socket."
            )
        elif self._untried:
            self._retry_at_s = 0.0
        else:
            self._fail(
                f"The process at {self._address} has not proved the key of an engine of this exchange, or the "
                "connection broke first."
            )

    def _fail(self, problem: str) -> None:
        """Begins again with all keys after a pause."""
        if problem and problem != self._problem:
            log.warning("transport.connection_refused", address=self._address, reason=problem)
        self._problem = problem
        if self._retry_at_s is None:  # libzmq itself tries the last key again and again meanwhile
            self._retry_at_s = time.monotonic() + _RETRY_S

    def _reopen(self) -> None:
        self._retry_at_s = None
        self.close()
        self.raw = self._make_raw()
        self.monitor = self.raw.get_monitor_socket(_EVENTS)
        self._is_established = False
        self._untried = self._untried or self._candidates()
        self._server = self._open()
        early = list(self._early)
        self._early.clear()
        for frames in early:
            with suppress(Undelivered):
                self.send(*frames)

    def _open(self) -> str:
        """Connects with the next engine key, and returns it. Raises AddressUnusable."""
        server, own = self._untried.popleft() if self._untried else "", self._security.own
        if not server:
            self._fail("The key register has no key of an engine: make one with make_keys engine NAME.")
        self.raw.curve_publickey = own.public.encode("ascii")
        self.raw.curve_secretkey = own.secret.encode("ascii")
        # If no engine's key is known, this process's own key is expected, which the other end cannot prove to hold.
        self.raw.curve_serverkey = (server or own.public).encode("ascii")
        self._connect(self.raw)
        return server

    def _candidates(self) -> deque[str]:
        """The keys to try at this address: first the one that it proved last, then other engines', last our own."""
        first, own = self._proved.get(self._address), self._security.own.public
        return deque(sorted(self._acceptable(self._security.register()), key=lambda key: (key != first, key == own)))

    def _acceptable(self, register: KeyRegister) -> Iterator[str]:
        return (key.public for role in SERVER_ROLES for key in register.active(role))


def _listen(raw: RawSocket, address: str, own: OwnKey) -> None:
    """Raises ZMQError."""
    raw.curve_publickey = own.public.encode("ascii")
    raw.curve_secretkey = own.secret.encode("ascii")
    raw.curve_server = True
    raw.zap_domain = address.encode("utf-8")
    raw.bind(address)


def _revoked(register: KeyRegister) -> set[str]:
    return {key.public for key in register.keys.values() if key.revoked}
