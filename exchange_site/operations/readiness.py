"""Waits until every part of a running exchange is ready, and tells the operator its address and how to log in."""

import time
import urllib.error
import urllib.request

from django.conf import settings

from exchange_site.configuration.addresses import parse_host_port
from exchange_site.operations.first_start import ADMINISTRATOR

PATIENCE_S = 180.0  # the first start compiles the kernel
ASK_AGAIN_S = 0.3


def parts() -> dict[str, str]:
    """URL of the readiness check of each part."""
    return {
        "engine": f"{parse_host_port(settings.ENGINE_HTTP_ADDRESS).url}/health/ready",
        "settlement": f"{parse_host_port(settings.SETTLEMENT_HTTP_ADDRESS).url}/health/ready",
        "gateway": f"{parse_host_port(settings.GATEWAY_HTTP_ADDRESS).url}/health/ready",
        "actions": f"{parse_host_port(settings.ACTIONS_HTTP_ADDRESS).url}/health/ready",
        "web": f"{parse_host_port(settings.WEB_ADDRESS).url}/health/ready",
    }


def wait_until_ready(waiting: dict[str, str], patience_s: float = PATIENCE_S) -> list[str]:
    """Poll until all answer 200; returns the names of those that did not within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while waiting and time.monotonic() < deadline:
        waiting = {name: url for name, url in waiting.items() if not is_ready(url)}
        if waiting:
            time.sleep(ASK_AGAIN_S)
    return list(waiting)


def is_ready(url: str) -> bool:
    # Ignore a proxy of the environment: the URLs are local.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):  # refused, timed out, 503, or not HTTP at all
        return False


def welcome() -> str:
    password_file = settings.ADMIN_PASSWORD_FILE
    password = password_file.read_text(encoding="ascii").strip() if password_file.exists() else "as you have set it"
    gateway = parse_host_port(settings.GATEWAY_ADDRESS).url
    if settings.GATEWAY_CERTIFICATE_FILE:
        gateway = gateway.replace("http", "https", 1)
    rule = "-" * 78
    return "\n".join(
        [
            "",
            rule,
            "The exchange is running.",
            f"  admin     {parse_host_port(settings.WEB_ADDRESS).url}/admin/",
            f"  user      {ADMINISTRATOR}",
            f"  password  {password}    (kept in {password_file})",
            f"  API       {gateway}/api/v3    (keys: manage.py create_api_key)",
            *([f"  market    {gateway}/market/"] if settings.GATEWAY_MARKET_PAGE else []),
            f"  logs      {settings.PROGRAM_LOG_FOLDER}/NAME.log    (warnings and errors are shown here too)",
            "  Ctrl-C stops everything.",
            rule,
            "",
        ]
    )
