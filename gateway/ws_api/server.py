"""Opens and ends the sessions of the WebSocket API."""

import asyncio
from urllib.parse import parse_qs

from picows import WSCloseCode, WSListener, WSUpgradeRequest

from gateway.rest.route import TimeUnit
from gateway.server import forwarding
from gateway.server.live import LiveListener
from gateway.ws_api.session import Api, Session

_PATHS = ("/ws-api/v3", "/ws-api/v3/")
_CHECK_S = 0.5
"""How often it is checked that keys are still valid: a revocation ends a session within a second."""
_UNITS = {"MILLISECOND": TimeUnit.MILLISECOND, "MICROSECOND": TimeUnit.MICROSECOND}


class WsApiServer:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._sessions: dict[LiveListener, Session] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.slow_consumers = 0
        """Sessions that were cut off because their client was too slow."""

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_CHECK_S, self._check)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for session in list(self._sessions.values()):
            session.close(WSCloseCode.GOING_AWAY, "The gateway is stopping")

    def announce_end(self) -> None:
        for session in list(self._sessions.values()):
            session.announce_end()

    def end_all(self) -> None:
        """Closes all sessions, because the events that they have published do not continue."""
        for session in list(self._sessions.values()):
            session.close(WSCloseCode.SERVICE_RESTART, "User data begin anew")

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    def listener(self, request: WSUpgradeRequest) -> WSListener | None:
        """The listener of a new connection; None if it is at another path."""
        path, _, query = request.path.decode("ascii", "replace").partition("?")
        options = parse_qs(query)
        unit = _UNITS.get(options.get("timeUnit", ["MILLISECOND"])[-1].upper())
        if path not in _PATHS or unit is None:
            return None
        returns_limits = options.get("returnRateLimits", ["true"])[-1].lower() != "false"
        forwarded = request.headers.getall(forwarding.HEADER, [])
        session = Session(self._api, unit, returns_limits, forwarded=forwarded, ended=self._forget)
        self._sessions[session] = session
        return session

    def _forget(self, session: LiveListener) -> None:
        self.slow_consumers += session.was_too_slow
        self._sessions.pop(session, None)

    def _check(self) -> None:
        for session in list(self._sessions.values()):
            session.check_keys()
        self.start()
