"""The data plane: asyncio protocols on uvloop. One event loop owns everything here; no locks."""
