"""Where a server keeps its log and its tables: one small port, adapters for SQLite and MariaDB."""
