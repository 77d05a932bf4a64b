"""A request that is refused: HTTP status, code and text, in the words of Binance.

Clients match on codes and on texts, so the texts here are exactly those of its public documentation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class ApiError(Exception):
    """Ends a request with this answer. `data` is an object that some errors have besides code and text."""

    code: int
    message: str
    status: int = 400
    data: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code} {self.message}"

    @property
    def body(self) -> dict[str, object]:
        """The answer as a JSON object."""
        document: dict[str, object] = {"code": self.code, "msg": self.message}
        return document if self.data is None else {**document, "data": self.data}


def illegal_characters(name: str, legal: str) -> ApiError:
    """`legal` is a regular expression of the values that are accepted."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def duplicate(name: str) -> ApiError:
    return ApiError(-1101, f"Duplicate values for parameter '{name}' detected.")


def too_many(sent: int, name: str) -> ApiError:
    """A parameter of an endpoint that has none."""
    return ApiError(-1101, f"Too many parameters; expected '0' and received '{sent}', such as '{name}'.")


def missing(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def missing_either(first: str, second: str) -> ApiError:
    return ApiError(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def unread(read: int, sent: int, name: str) -> ApiError:
    return ApiError(
        -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}', such as '{name}'."
    )


def empty(name: str) -> ApiError:
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def not_required(name: str) -> ApiError:
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> ApiError:
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def invalid_symbol() -> ApiError:
    return ApiError(-1121, "Invalid symbol.")


def invalid(name: str) -> ApiError:
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def no_endpoint() -> ApiError:
    return ApiError(-1000, "There is no such endpoint.", status=404)


def wrong_method(methods: Iterable[str]) -> ApiError:
    allowed = ", ".join(sorted(methods))
    return ApiError(-1000, f"This endpoint takes {allowed} only.", status=405, headers={"Allow": allowed})


def unexpected() -> ApiError:
    """A bug of the gateway, which its log tells of."""
    return ApiError(-1000, "An unknown error occurred while processing the request.", status=500)


def disconnected() -> ApiError:
    return ApiError(-1001, "Internal error; unable to process your request. Please try again.", status=503)


def unknown_outcome() -> ApiError:
    return ApiError(
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        status=504,
    )


def unavailable() -> ApiError:
    """Nothing was executed."""
    return ApiError(
        -1008,
        "Server is currently overloaded with other requests. Please try again in a few minutes.",
        status=503,
    )
