"""All settings with their descriptions; the only package that reads the environment.

`manage.py describe_settings` generates docs/settings.md from these modules, in the order in which they are imported.

Nothing here raises: an invalid value is replaced by its default and added to `SETTING_PROBLEMS`, and the checks of
`exchange_site.configuration` refuse to start. Nothing is written; the secret key created by `make run` is read.
"""

# The order of the groups in docs/settings.md.
# isort: off
from exchange_site.settings.programs import *
from exchange_site.settings.engine import *
from exchange_site.settings.settlement import *
from exchange_site.settings.gateway import *
from exchange_site.settings.stores import *
from exchange_site.settings.archive import *
from exchange_site.settings.analytics import *
from exchange_site.settings.web import *
from exchange_site.settings.framework import *
from exchange_site.settings.background import *
from exchange_site.settings.log import *
from exchange_site.settings.variables import env
# isort: on

SETTING_PROBLEMS = env.problems
SETTING_DESCRIPTIONS = env.descriptions  # for docs/settings.md
