"""Settings of the theme: colours, style sheets, sidebar."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

from back_office.access import permissions


def _page(title: str, icon: str, name: str, permission: str) -> dict[str, Any]:
    """An entry of the sidebar, shown to users with the permission."""
    link = {"title": title, "icon": icon, "link": reverse_lazy(name)}
    return {**link, "permission": lambda request: request.user.has_perm(permission)}


def plain_sockets_warning(request: HttpRequest) -> list[str] | None:
    """The warning in the header of every page, if sockets are open to every account of the machine."""
    return ["Sockets without keys (PLAIN_SOCKETS)", "danger"] if settings.PLAIN_SOCKETS else None


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Exchange",
    "SITE_HEADER": "Exchange",
    "SITE_SUBHEADER": "Back office",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": None,
    "ENVIRONMENT": "back_office.navigation.plain_sockets_warning",
    "BORDER_RADIUS": "4px",
    # Blue greys and one blue: red and green are reserved for falling and rising values.
    "COLORS": {
        "base": {
            "50": "oklch(98.4% .003 247.858)",
            "100": "oklch(96.8% .007 247.896)",
            "200": "oklch(92.9% .013 255.508)",
            "300": "oklch(86.9% .022 252.894)",
            "400": "oklch(70.4% .04 256.788)",
            "500": "oklch(55.4% .046 257.417)",
            "600": "oklch(44.6% .043 257.281)",
            "700": "oklch(37.2% .044 257.287)",
            "800": "oklch(27.9% .041 260.031)",
            "900": "oklch(20.8% .042 265.755)",
            "950": "oklch(12.9% .042 264.695)",
        },
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        },
    },
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("back_office/favicon.svg")}
    ],
    "STYLES": [lambda request: static("back_office/back_office.css")],
    "SIDEBAR": {
        "show_all_applications": True,
        "navigation": [
            {
                "title": "Exchange",
                "items": [
                    _page("Overview", "monitoring", "office:overview", permissions.BLOCKS),
                    _page("Trades", "swap_horiz", "office:trades", permissions.TRADES),
                    _page("Orders", "list_alt", "office:orders", permissions.ORDERS),
                    _page("Open orders", "pending_actions", "office:open_orders", permissions.ORDERS),
                    _page("Instruments", "tune", "office:instruments", permissions.INSTRUMENTS),
                    _page("Accounts", "account_balance_wallet", "office:accounts", permissions.BALANCES),
                    _page("Blocks", "deployed_code", "office:blocks", permissions.BLOCKS),
                ],
            },
            {
                "title": "Operations",
                "separator": True,
                "items": [
                    _page("Alarms", "notifications", "office:alarms", permissions.ALARMS),
                    _page("Reconciliation", "balance", "office:reconciliations", permissions.RECONCILIATIONS),
                    _page("Dead letters", "unsubscribe", "office:dead_letters", permissions.DEAD_LETTERS),
                    _page("Audit log", "history", "office:audit_log", permissions.AUDIT_LOG),
                ],
            },
            {
                "title": "Site",
                "separator": True,
                "items": [
                    _page("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
                    _page("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
                ],
            },
        ],
    },
}
