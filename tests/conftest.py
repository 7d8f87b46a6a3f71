"""Fixtures that tests of several services share."""

from tests.support.mariadb import mariadb_folder, mariadb_server

__all__ = ["mariadb_folder", "mariadb_server"]
