"""The verbs that most kinds have in common, each written once.

A kind's module calls them from its thin handlers, or lets `register` make the handlers where nothing is particular to it.
"""

from .info import info, listed, pool_info
from .locking import lock, unlock
from .ownership import chmod, chown
from .register import register
from .rename import rename
from .update import update

__all__ = ["chmod", "chown", "info", "listed", "lock", "pool_info", "register", "rename", "unlock", "update"]
