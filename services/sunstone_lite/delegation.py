"""How the UI speaks to oned in a user's name without keeping a password.

Either with a login token that oned itself issued at sign-in (`one.user.login`), or, when the UI has server credentials,
with a `server_cipher` token made for each use (research/raft-facts.md, C4).
"""

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.common import logs
from services.common.oned import OnedClient, OnedError
from services.common.settings import read_secret
from services.sunstone_lite.items import Item, parse
from services.sunstone_lite.sessions import Login

CIPHER_LIFE_S = 1800
AES_KEY_LENGTH = 32
AES_IV_LENGTH = 16
AES_BLOCK_BITS = 128
XML_RPC_API_ERROR = 0x1000
NO_GROUP = -1
MARGIN_S = 300  # a token must outlive the session by this much to be shared

log = logs.get("sunstone.delegation")


@dataclass(frozen=True, slots=True)
class ServerCipher:
    """Delegation by the `server_cipher` driver: the AES key is the hash that oned stores for the server's user."""

    server: str
    digest: str

    @classmethod
    def from_file(cls, path: Path) -> "ServerCipher":
        """Read "serveradmin:password"."""
        server, _, password = read_secret(path).partition(":")
        return cls(server, hashlib.sha256(password.encode()).hexdigest())

    def session(self, user: str, now: float) -> str:
        """The session string that makes a call run as `user`."""
        clear = f"{self.server}:{user}:{int(now) + CIPHER_LIFE_S}".encode()
        padder = padding.PKCS7(AES_BLOCK_BITS).padder()
        padded = padder.update(clear) + padder.finalize()
        key, iv = self.digest[:AES_KEY_LENGTH].encode(), self.digest[:AES_IV_LENGTH].encode()
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        token = base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
        return f"{self.server}:{user}:{token}"


@dataclass(frozen=True, slots=True)
class Delegate:
    """Signs users in and gives the session string for their calls."""

    client: OnedClient
    cipher: ServerCipher | None = None
    clock: Callable[[], float] = time.time

    async def sign_in(self, user: str, password: str, life_s: int) -> tuple[Login, float]:
        """Verify the password with oned; the login and the time until which it may be used.

        Raises what `OnedClient.call` does; OnedError with code AUTHENTICATION means a wrong name or password.
        """
        session = f"{user}:{password}"
        item = parse(str(await self.client.call(session, "one.user.info", -1)))
        login = Login(
            uid=item.oid,
            name=item.name,
            group=item.text("GNAME"),
            groups=tuple(int(group.value) for group in item.all("GROUPS/ID")),
        )
        if self.cipher and await self._cipher_is_accepted(login):
            return login, self.clock() + life_s
        return await self._with_token(login, session, item, life_s)

    async def _cipher_is_accepted(self, login: Login) -> bool:
        """Whether oned takes our server token; if not, somebody must be told, and a login token will do meanwhile."""
        try:
            await self.client.call(self.session(login), "one.user.info", -1)
        except OnedError as error:
            log.error("oned refuses server_credentials, using a login token instead", error=str(error))
            return False
        return True

    async def _with_token(self, login: Login, session: str, item: Item, life_s: int) -> tuple[Login, float]:
        """A token of its own for this session; where oned refuses an eleventh, the longest-lived one there is."""
        until = self.clock() + life_s
        try:
            token = str(await self.client.call(session, "one.user.login", login.name, "", life_s + MARGIN_S, NO_GROUP))
        except OnedError as error:
            spare = _longest_token(item)
            if error.code != XML_RPC_API_ERROR or spare is None:
                raise
            token, expires = spare
            return _keep(login, token, revocable=False), min(until, expires)
        return _keep(login, token, revocable=True), until

    async def sign_out(self, login: Login) -> None:
        """Take the session's token back, so that it is worthless wherever it may have been copied."""
        if login.revocable:
            await self.client.call(self.session(login), "one.user.login", login.name, login.secret, 0, NO_GROUP)

    def session(self, login: Login) -> str:
        """The session string, first argument of every XML-RPC call."""
        if self.cipher and not login.secret:
            return self.cipher.session(login.name, self.clock())
        return f"{login.name}:{login.secret}"


def _keep(login: Login, token: str, *, revocable: bool) -> Login:
    return Login(login.uid, login.name, login.group, login.groups, token, revocable)


def _longest_token(item: Item) -> tuple[str, float] | None:
    """A token for all of the user's groups and its end; -1 means it never ends."""
    full = [entry for entry in item.all("LOGIN_TOKEN") if entry.number("EGID", NO_GROUP) == NO_GROUP]
    ends = [(_end(entry), entry.text("TOKEN")) for entry in full]
    end, token = max(ends, default=(0.0, ""))
    return (token, end) if token else None


def _end(entry: Item) -> float:
    seconds = entry.real("EXPIRATION_TIME")
    return float("inf") if seconds < 0 else seconds
