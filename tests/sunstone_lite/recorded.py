"""A control daemon on loopback that plays recorded answers of OpenNebula 6.8.0 over real XML-RPC."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from services.common.xmlrpc import Value, decode_call, encode_response

SCENARIOS = Path(__file__).parent / "recorded"
AUTHENTICATION = 0x100
INTERNAL = 0x2000

Answer = Callable[[str, list[Value]], Value]


@dataclass
class Daemon:
    """Users with passwords and tokens, pools and objects by method, and a log of every call.

    `leaderless` makes it answer writes as a zone without a leader; `refuse` maps methods to error texts.
    """

    users: dict[str, str] = field(default_factory=lambda: {"oneadmin": "opennebula", "ann": "annpw"})
    tokens: set[str] = field(default_factory=set)
    documents: dict[str, str] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    calls: list[tuple[str, list[Value]]] = field(default_factory=list)
    leaderless: bool = False
    login_tokens: str = ""
    raft: str = ""

    def answer(self, method: str, params: list[Value]) -> Value:
        """The XML-RPC value for one call; the first parameter is the session."""
        session, arguments = str(params[0]), params[1:]
        self.calls.append((method, arguments))
        user, _, secret = session.partition(":")
        if self.users.get(user) != secret and session not in self.tokens:
            return [False, f"[{method}] User couldn't be authenticated, aborting call.", AUTHENTICATION, -1, -1]
        if method in self.refuse:
            code, text = self.refuse[method]
            return [False, f"[{method}] {text}", code, -1, -1]
        if method.endswith("info"):
            return [True, self._document(method, user, arguments), 0]
        if method == "one.zone.raftstatus":
            return [True, self.raft or self.documents[method], 0]
        if self.leaderless:
            return [False, f"[{method}] Cannot process request, no leader found", INTERNAL, -1, -1]
        if method == "one.user.login":
            return [True, self._login(user, arguments), 0]
        return [True, 7, 0]

    def called(self, method: str) -> list[list[Value]]:
        """Arguments of every call of a method, the session left out."""
        return [arguments for name, arguments in self.calls if name == method]

    def _login(self, user: str, arguments: list[Value]) -> str:
        token = str(arguments[1])
        if arguments[2] == 0:
            self.tokens.discard(f"{user}:{token}")
            return token
        token = f"{len(self.tokens):064x}"
        self.tokens.add(f"{user}:{token}")
        return token

    def _document(self, method: str, user: str, arguments: list[Value]) -> str:
        if method == "one.user.info" and arguments[0] == -1:
            uid, group = (0, 0) if user == "oneadmin" else (2, 1)
            return (
                f"<USER><ID>{uid}</ID><GID>{group}</GID><GROUPS><ID>{group}</ID></GROUPS><GNAME>g{group}</GNAME>"
                f"<NAME>{user}</NAME><PASSWORD>hash-of-password</PASSWORD><AUTH_DRIVER>core</AUTH_DRIVER>"
                f"<ENABLED>1</ENABLED>{self.login_tokens}<TEMPLATE/></USER>"
            )
        return self.documents[method]


def documents() -> dict[str, str]:
    """The recorded answers, by method."""
    return {path.stem: path.read_text() for path in SCENARIOS.glob("*.xml")}


def create_app(daemon: Daemon) -> web.Application:
    """The daemon as a web application: `/RPC2`, and `/healthz` as ours has it."""

    async def rpc(request: web.Request) -> web.Response:
        call = decode_call(await request.read())
        return web.Response(
            body=encode_response(daemon.answer(call.method, list(call.params))), content_type="text/xml"
        )

    async def healthz(_: web.Request) -> web.Response:
        role = "follower" if daemon.leaderless else "leader"
        return web.json_response({"serving": True, "role": role, "term": 3, "commit": 9, "applied": 9})

    async def leader(_: web.Request) -> web.Response:
        leads = not daemon.leaderless
        return web.json_response({"leader": leads, "name": "frontend1"}, status=200 if leads else 503)

    app = web.Application()
    app.add_routes([web.post("/RPC2", rpc), web.get("/healthz", healthz), web.get("/leader", leader)])
    return app
