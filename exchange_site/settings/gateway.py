"""Settings of the gateway, which speaks the traders' API."""

from exchange_site.settings.variables import env

env.group("Gateway", read_by="gateway")
GATEWAY_ADDRESS = env.text(
    "GATEWAY_ADDRESS", "127.0.0.1:8080", "HOST:PORT of the traders' API.", read_by="gateway, run_exchange"
)
GATEWAY_HTTP_ADDRESS = env.text(
    "GATEWAY_HTTP_ADDRESS",
    "127.0.0.1:9703",
    "HOST:PORT of the gateway's health and metrics.",
    read_by="gateway, run_exchange",
)
GATEWAY_CERTIFICATE_FILE = env.text(
    "GATEWAY_CERTIFICATE_FILE", "", "Certificate with its chain (PEM). Set: the API speaks TLS only."
)
GATEWAY_CERTIFICATE_KEY_FILE = env.text(
    "GATEWAY_CERTIFICATE_KEY_FILE", "", "Private key of the certificate (PEM, without a password)."
)
GATEWAY_TRUSTED_PROXIES = env.words(
    "GATEWAY_TRUSTED_PROXIES",
    [],
    "Addresses of proxies, separated by commas. A client's address is then what `X-Forwarded-For` of a proxy says.",
)
API_KEYS_SECRET = env.text(
    "API_KEYS_SECRET",
    "",
    "Encrypts the secrets of API keys and second factors in the database: at least 32 random characters. With another "
    "value the secrets that are stored cannot be read any more.",
    read_by="gateway, web, create_api_key",
    shown="`SECRET_KEY`",
)
GATEWAY_MARKET_PAGE = env.flag(
    "GATEWAY_MARKET_PAGE", True, "The public page of each market, such as `/market/BTC-USD`, without a login."
)
GATEWAY_CONNECTIONS = env.whole(
    "GATEWAY_CONNECTIONS", 10_000, "Maximum number of open HTTP connections.", unit="connections"
)
GATEWAY_STOP_NOTICE_MS = env.whole(
    "GATEWAY_STOP_NOTICE_MS",
    1000,
    "Time between the event `serverShutdown`, which WebSocket clients get before a stop, and the stop.",
    unit="ms",
)
GATEWAY_WEIGHT_A_MINUTE = env.whole(
    "GATEWAY_WEIGHT_A_MINUTE", 6000, "Maximum weight of the requests of one address in a minute.", unit="weight"
)
GATEWAY_ORDERS_10_SECONDS = env.whole(
    "GATEWAY_ORDERS_10_SECONDS", 100, "Maximum number of unfilled orders of an account in 10 s.", unit="orders"
)
GATEWAY_ORDERS_A_DAY = env.whole(
    "GATEWAY_ORDERS_A_DAY", 200_000, "Maximum number of unfilled orders of an account in a day.", unit="orders"
)
GATEWAY_REDIS_URL = env.text(
    "GATEWAY_REDIS_URL",
    "",
    "Redis through which several gateways share these limits: `redis://`, `rediss://` or `unix://`; not set: each "
    "counts for itself.",
)
GATEWAY_TRADES_KEPT = env.whole(
    "GATEWAY_TRADES_KEPT", 10_000, "Number of trades of each instrument that are kept in memory.", unit="trades"
)
GATEWAY_CANDLES_KEPT = env.whole(
    "GATEWAY_CANDLES_KEPT",
    20_000,
    "Number of seconds, minutes, hours and days with a trade that are kept in memory, of each instrument.",
    unit="candles",
)
GATEWAY_ORDERS_KEPT = env.whole(
    "GATEWAY_ORDERS_KEPT",
    200_000,
    "Number of closed orders that are kept in memory; older ones are read from the store.",
    unit="orders",
)
GATEWAY_FILLS_KEPT = env.whole(
    "GATEWAY_FILLS_KEPT",
    200_000,
    "Number of fills that are kept in memory; older ones are read from the store.",
    unit="fills",
)
