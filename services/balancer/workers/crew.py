"""Several workers as one balancer: the master starts and watches them, and keeps what they have in common.

The master owns the listening sockets, one for each worker and address. It holds them open, so a worker's death loses
only the connections it had accepted: those that wait in its queue are accepted by another worker at once. The master
checks servers actively, and its groups are those of record: every change, of whatever origin, is sent to all workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.rates import Buckets
from services.balancer.core.roster import Passive
from services.balancer.core.shared import SharedGroup
from services.balancer.fleet import WorkerView, nothing
from services.balancer.plan import Plan
from services.balancer.plane.prober import Prober
from services.balancer.plane.shared_limits import SharedLimits
from services.balancer.plane.tls import server_context
from services.balancer.plane.zone import KeptZone
from services.balancer.sockets import Sockets
from services.balancer.status.figures import Figures, group_figures, total
from services.balancer.workers.backoff import Backoff
from services.balancer.workers.hand import Hand
from services.balancer.workers.messages import Adopt, Limits, Rates, Roster, Socket, Zone
from services.common.logs import Logger

BEAT_S = 1.0
SILENT_BEATS = 2
"""While a worker has not reported for so many beats, the others accept the connections that wait for it."""

EXIT_S = 0.7


class Crew:
    """A fleet of ``workers`` processes, which count under ``limits`` with whoever else has them."""

    def __init__(self, plan: Plan, log: Logger, sockets: Sockets, limits: SharedLimits) -> None:
        self.plan = plan
        self.sockets = sockets
        self._closing = False
        self.judged: Callable[[Group], None] = lambda group: None
        self._log = log
        self.time = asyncio.get_running_loop().time
        self._zones: dict[str, KeptZone] = {}
        self._limits = limits
        self._groups: dict[str, Group] = {}
        self.prober = Prober(self._groups.values, self.time, log.warning, self._judge)
        self._hands: dict[int, Hand] = {}
        self._keepers: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[Hand, asyncio.Task[None]] = {}  # who were surplus after a reload, and their keepers
        self._restarts: dict[int, int] = {}
        self._past = Figures()  # of workers that have ended
        self._beat: asyncio.Task[None] | None = None
        self._sharing = asyncio.Lock()
        self._adopt(plan)

    # Groups of record

    @property
    def groups(self) -> Mapping[str, Group]:
        return self._groups

    @property
    def buckets(self) -> Buckets:
        return self._limits.buckets

    def _adopt(self, plan: Plan) -> None:
        self.plan = plan
        for name in self._groups.keys() - plan.groups.keys():
            del self._groups[name]
        for name, settings in plan.groups.items():
            group = self._groups.get(name)
            if group is not None and group.shared is settings.zone:
                group.configure(settings)
            else:
                self._groups[name] = self._group(settings)
                if group is not None:
                    self._groups[name].succeed(group)
        for name in self._zones.keys() - {name for name, group in self._groups.items() if group.shared}:
            self._zones.pop(name).close()

    def _group(self, settings: GroupSettings) -> Group:
        if not settings.zone:
            return Group(settings)
        memory = self._zones[settings.name] = KeptZone.create(settings.name)
        for hand in self._hands.values():
            memory.grant(hand.column, ())
            hand.tell(Zone(group=settings.name, column=hand.column), memory.fd)
        return SharedGroup(settings, memory, keeper=True)

    def changed(self, name: str) -> None:
        self._tell_of(self._groups[name])
        self.prober.reconcile()

    def _judge(self, group: Group) -> None:
        self._tell_of(group)
        self.judged(group)

    def _tell_of(self, group: Group) -> None:
        for hand in self._everybody():
            hand.tell(Roster(group=group.name, members=group.roster()))

    # Life

    @property
    def serving(self) -> bool:
        return not self._closing and any(hand.ready for hand in self._hands.values())

    @property
    def ports(self) -> dict[str, int]:
        return {address: self.sockets.port(address) for address in self.plan.listeners if address in self.sockets}

    async def start(self) -> None:
        try:
            _check_certificates(self.plan)
            self.sockets.keep_only(self.plan.listeners)
            self._open_sockets()
            await self._hire()
        except OSError:
            await self.stop(grace_s=0)
            raise
        self._leave_failures_to_workers()
        self.prober.reconcile()
        self._beat = asyncio.create_task(self._keep_beat())

    def _leave_failures_to_workers(self) -> None:
        """What was known before this crew is theirs now; here nobody would ever see a server succeed, or be quicker."""
        for group in self._groups.values():
            for peer in group.peers:
                peer.stats.header_time_s = peer.stats.response_time_s = 0.0
            if not group.shared:
                group.recall({peer.address: Passive(ramp_from=peer.ramp_from) for peer in group.peers})

    def _open_sockets(self) -> None:
        """Open what is missing, and give it to the workers there are."""
        for address in self.plan.listeners:
            for sock in self.sockets.open_missing(address, self.plan.settings.workers):
                for hand in self._hands.values():
                    hand.tell(Socket(address=address), sock.fileno())

    async def reload(self, plan: Plan, amend: Callable[[], None] = nothing) -> None:
        _check_certificates(plan)
        before = self.plan
        try:
            self._adopt(plan)
            amend()
            self._open_sockets()
        except (OSError, ValueError):
            self._adopt(before)
            await self._tell_all()  # zones may be new
            raise
        await self._tell_all()
        self._send_away([number for number in self._keepers if self._surplus(number)])
        await self._hire()
        await self._share_sockets()
        self.prober.reconcile()

    async def _tell_all(self) -> None:
        self.sockets.keep_only(self.plan.listeners)
        for problem in await asyncio.gather(*(hand.adopt(self._orders()) for hand in self._hands.values())):
            if problem:
                self._log.error("a worker keeps its old settings", reason=problem)

    def _orders(self) -> Adopt:
        return Adopt(
            settings=self.plan.settings, rosters={name: group.roster() for name, group in self._groups.items()}
        )

    def _send_away(self, numbers: list[int]) -> None:
        """Have workers leave when their last client has, and make room for others with their numbers."""
        limit_s = self.plan.settings.quit_timeout_s
        for number in numbers:
            keeper, hand = self._keepers.pop(number), self._hands.pop(number, None)
            if hand is None:
                keeper.cancel()  # it waits before it starts another worker
                continue
            self._leaving[hand] = keeper
            hand.leave(None)
            if limit_s:
                asyncio.get_running_loop().call_later(limit_s, hand.leave, 0)

    async def drain(self) -> None:
        await self._dismiss(None)
        if self._tasks():
            await asyncio.wait(self._tasks())  # and go on with them when this is cancelled
        self._let_go()

    async def stop(self, grace_s: float) -> None:
        await self._dismiss(grace_s)
        if self._tasks():
            await asyncio.wait(self._tasks(), timeout=grace_s + EXIT_S)
        for hand in self._everybody():
            hand.kill()
        await asyncio.gather(*self._tasks())
        self._let_go()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._keepers.values(), *self._leaving.values()]

    async def _dismiss(self, grace_s: float | None) -> None:
        self._closing = True
        self.sockets.close()
        await self.prober.close()
        for number in [number for number in self._keepers if number not in self._hands]:
            self._keepers.pop(number).cancel()  # it waits before it starts another worker
        for hand in self._everybody():
            hand.leave(grace_s)

    def _let_go(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        self._past.add(group_figures(self._groups, self.time()).ended())
        self._groups = {name: _plain(group) for name, group in self._groups.items()}
        for memory in self._zones.values():
            memory.close()
        self._zones.clear()

    # Workers

    def _everybody(self) -> list[Hand]:
        """Those who are leaving, too."""
        return [*self._hands.values(), *self._leaving]

    def workers(self) -> list[WorkerView]:
        now = self.time()
        return [
            WorkerView(
                number=hand.number,
                pid=hand.pid,
                uptime_s=round(now - hand.started_at, 3),
                requests=hand.figures.requests,
                restarts=self._restarts.get(hand.number, 0),
                leaving=hand in self._leaving,
            )
            for hand in sorted(self._everybody(), key=lambda hand: (hand in self._leaving, hand.number))
        ]

    def _surplus(self, number: int) -> bool:
        return self._closing or number >= self.plan.settings.workers

    async def _hire(self) -> None:
        """Start the workers that are missing; raises OSError when one cannot serve."""
        numbers = [number for number in range(self.plan.settings.workers) if number not in self._keepers]
        hands = await asyncio.gather(*(self._launch(number) for number in numbers))
        problems = await asyncio.gather(*(self._introduce(hand) for hand in hands))
        for hand in hands:
            self._keepers[hand.number] = asyncio.create_task(self._keep(hand))
        for hand, problem in zip(hands, problems, strict=True):
            if problem:
                hand.kill()
        for problem in filter(None, problems):
            raise OSError(f"a worker cannot start: {problem}")
        await self._share_sockets()

    async def _keep(self, hand: Hand) -> None:
        """Replace a worker whenever it has died, until it is surplus."""
        backoff = Backoff()
        number = hand.number
        while True:
            status = await hand.gone()
            self._bury(hand)
            if self._leaving.pop(hand, None) is not None:
                return
            del self._hands[number]
            if self._closing:
                del self._keepers[number]
                return
            await self._share_sockets()
            delay_s = backoff.after(self.time() - hand.started_at)
            self._log.error("worker died", worker=number, pid=hand.pid, status=status, next_in_s=delay_s)
            await asyncio.sleep(delay_s)
            self._restarts[number] = self._restarts.get(number, 0) + 1
            hand = await self._launch(number)
            problem = await self._introduce(hand)
            if problem:
                self._log.error("worker cannot serve", worker=number, reason=problem)
                hand.kill()
            else:
                await self._share_sockets()

    async def _launch(self, number: int) -> Hand:
        hand = Hand(number)
        await hand.launch()
        return hand

    async def _introduce(self, hand: Hand) -> str:
        """Give a new worker all it needs; returns what keeps it from serving."""
        self._hands[hand.number] = hand
        try:
            hand.column = self._limits.column()
        except OSError as error:
            return str(error)
        for address, sock in self.sockets:
            hand.tell(Socket(address=address), sock.fileno())
        for name, memory in self._zones.items():
            memory.grant(hand.column, (peer.id for peer in self._groups[name].peers))
            hand.tell(Zone(group=name, column=hand.column), memory.fd)
        hand.tell(Limits(column=hand.column), self._limits.places.fd)
        hand.tell(Rates(), self._limits.buckets.fd)
        problem = await hand.adopt(self._orders())
        hand.ready = hand.served = not problem
        return problem

    def _bury(self, hand: Hand) -> None:
        """Keep what it counted, give back what it held."""
        self._past.add(hand.figures.ended())
        if hand.column:
            self._limits.give_back(hand.column)
        for name, memory in self._zones.items():
            memory.strike_out(hand.column, (peer.id for peer in self._groups[name].peers))

    async def _share_sockets(self) -> None:
        """Each worker accepts on its own sockets; on those of one that is gone or silent, another one does as well."""
        async with self._sharing:
            awake = {hand.number: hand for hand in self._hands.values() if hand.ready and not hand.silent}
            if not awake:
                return
            shares: dict[int, list[int]] = {number: [] for number in awake}
            for number in range(self.sockets.widest):
                shares[number if number in awake else sorted(awake)[number % len(awake)]].append(number)
            await asyncio.gather(*(hand.accept_on(tuple(shares[number])) for number, hand in awake.items()))

    # Figures

    async def figures(self) -> Figures:
        """The sum over workers, those that died included; of one that does not answer soon the last known."""
        await asyncio.gather(*(hand.report() for hand in self._everybody()))
        # Summed up in one go: who has ended meanwhile is in the past, and not here any more.
        reports = [hand.figures for hand in self._everybody()]
        return total([self._past, group_figures(self._groups, self.time()), *reports])

    def count(self, figures: Figures) -> None:
        self._past.add(figures)

    # Watching over workers

    async def _keep_beat(self) -> None:
        """Hear from every worker once a second, so that little is lost with one that dies, and see which are silent.

        Beats are counted, not time: after a sleep of the whole machine nobody has been silent.
        """
        while True:
            asked = self._everybody()
            for hand in asked:
                hand.silences += 1
                hand.ask()
            await asyncio.sleep(BEAT_S)
            changed = [hand for hand in asked if self._turns(hand)]
            if changed:
                await self._share_sockets()
            self._replace_hung([hand for hand in asked if hand.served and hand.silences >= self._patience])

    @property
    def _patience(self) -> float:
        return self.plan.settings.worker_timeout_s / BEAT_S

    def _turns(self, hand: Hand) -> bool:
        """Note whether a worker is silent; true when it has just become so, or answers again."""
        silent = hand.silences >= SILENT_BEATS
        if silent is hand.silent or not hand.served:
            return False
        hand.silent = silent
        what = "worker is silent, others accept in its place" if silent else "worker answers again"
        self._log.warning(what, worker=hand.number, pid=hand.pid)
        return True

    def _replace_hung(self, hung: list[Hand]) -> None:
        """Kill what hangs; if one of them keeps the others waiting for a lock, then that one alone."""
        holders: set[int] = set()
        if hung:
            holders = self._limits.holders()
            holders |= {memory.holder() for memory in self._zones.values()}
        for hand in [hand for hand in hung if hand.pid in holders] or hung:
            self._log.error("worker hangs, it is killed", worker=hand.number, pid=hand.pid)
            hand.kill()


def _plain(group: Group) -> Group:
    """The same servers, without their counters and the memory that workers share."""
    plain = Group(group.settings)
    plain.assume(group.roster())
    return plain


def _check_certificates(plan: Plan) -> None:
    """Raises OSError that names a certificate which workers could not load."""
    for listener in plan.listeners.values():
        if listener.tls:
            server_context(listener)
