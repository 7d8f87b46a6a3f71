"""A daemon with something of every kind in it, in many states: what clients may be asked to read."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.oned import SESSION, Oned, until

LATER = 4_000_000_000
RUNNING, POWEROFF, SUSPENDED, STOPPED, UNDEPLOYED, HOLD, DONE = (3, 3), (8,), (5,), (4,), (9,), (2,), (6,)


@dataclass(frozen=True, slots=True)
class Asked:
    """One read and its answer."""

    method: str
    arguments: tuple[object, ...]
    answer: Any

    def __str__(self) -> str:
        return f"{self.method}({', '.join(map(str, self.arguments))})"


@dataclass
class World:
    """Names of what was made, by id, in `oids`."""

    oned: Oned
    folder: Path
    oids: dict[str, int] = field(default_factory=dict)

    def do(self, method: str, *arguments: object, session: str = SESSION) -> Any:
        """A call that must succeed; its value."""
        answer = self.oned.call(method, *arguments, session=session)
        assert answer[0] is True, (method, arguments, answer)
        return answer[1]

    def make(self, name: str, method: str, *arguments: object, session: str = SESSION) -> int:
        self.oids[name] = oid = int(self.do(method, *arguments, session=session))
        return oid

    def read(self, method: str, *arguments: object) -> ElementTree.Element:
        return ElementTree.fromstring(self.do(method, *arguments))

    def wait(self, method: str, oid: int, *states: int) -> None:
        """Until STATE, and LCM_STATE where two are given, are these."""
        names = ("STATE", "LCM_STATE")[: len(states)]

        def there() -> bool:
            body = self.read(method, oid)
            return tuple(int(body.findtext(name) or -1) for name in names) == states

        until(there)

    def act(self, vm: int, deed: str, *states: int) -> None:
        self.do("one.vm.action", deed, vm)
        self.wait("one.vm.info", vm, *states)

    def settled(self, vm: int, method: str, *arguments: object) -> None:
        """A change of a running VM, to its end."""
        self.do(method, *arguments)
        self.wait("one.vm.info", vm, *RUNNING)


def build(world: World) -> None:
    """Everything; each part leans on those before it."""
    parts = (people, infrastructure, images, networks, templates, machines, deeds, services, routers, rules)
    for part in parts:
        part(world)


def people(w: World) -> None:
    group = w.make("group", "one.group.allocate", "crew")
    alice = w.make("alice", "one.user.allocate", "alice", "secret", "core", [group, 1])
    w.make("bob", "one.user.allocate", "bob", "hunter2", "core", [])
    w.do(
        "one.user.update",
        alice,
        'EMAIL = "a@example.org"\nSSH_PUBLIC_KEY = "ssh-rsa AAAA"\nSUNSTONE = [ LANG = en_US ]',
        1,
    )
    w.do("one.user.login", "alice", "", 3600, -1, session="alice:secret")
    w.do("one.group.addadmin", group, alice)
    w.do("one.group.update", group, 'SUNSTONE = [ DEFAULT_VIEW = user, VIEWS = "user,groupadmin" ]', 1)
    quota = (
        "DATASTORE = [ ID = 1, SIZE = 20000, IMAGES = 40 ]\nVM = [ VMS = 50, RUNNING_VMS = 40, CPU = 100, MEMORY = 100000,"
        " RUNNING_CPU = 50, RUNNING_MEMORY = 50000, SYSTEM_DISK_SIZE = -1 ]\nNETWORK = [ ID = 0, LEASES = 30 ]\n"
        "IMAGE = [ ID = 0, RVMS = 5 ]"
    )
    w.do("one.user.quota", alice, quota)
    w.do("one.group.quota", group, quota)
    w.do("one.userquota.update", "VM = [ VMS = 100 ]\nDATASTORE = [ ID = 1, SIZE = 90000 ]")
    w.do("one.groupquota.update", "VM = [ MEMORY = 200000 ]\nNETWORK = [ ID = 0, LEASES = 90 ]")


def infrastructure(w: World) -> None:
    cluster = w.make("cluster", "one.cluster.allocate", "racks")
    w.do("one.cluster.update", cluster, "RESERVED_CPU = 10\nRESERVED_MEM = 5%", 1)
    host = w.make("host", "one.host.allocate", "node1", "dummy", "dummy", 0)
    w.make("host2", "one.host.allocate", "node2", "dummy", "dummy", cluster)
    w.do("one.host.update", host, 'RESERVED_CPU = ""\nNOTE = "<left> & right"', 1)
    w.make("system", "one.datastore.allocate", "NAME = sys\nTYPE = SYSTEM_DS\nTM_MAD = dummy", 0)
    w.make("images", "one.datastore.allocate", "NAME = imgs\nTYPE = IMAGE_DS\nDS_MAD = dummy\nTM_MAD = dummy", 0)
    w.make("files", "one.datastore.allocate", "NAME = kernels\nTYPE = FILE_DS\nDS_MAD = dummy\nTM_MAD = dummy", 0)
    w.make("backups", "one.datastore.allocate", "NAME = bck\nTYPE = BACKUP_DS\nDS_MAD = dummy\nTM_MAD = -", 0)
    w.do("one.cluster.adddatastore", cluster, w.oids["images"])
    w.wait("one.host.info", host, 2)
    until(lambda: w.read("one.datastore.info", w.oids["images"]).findtext("FREE_MB") not in (None, "0"))
    until(lambda: w.read("one.datastore.info", w.oids["backups"]).findtext("FREE_MB") not in (None, "0"))


def images(w: World) -> None:
    datastore = w.oids["images"]
    stores = dict.fromkeys(("OS", "CDROM"), datastore) | dict.fromkeys(
        ("KERNEL", "RAMDISK", "CONTEXT"), w.oids["files"]
    )
    for kind, store in stores.items():
        w.make(f"image {kind}", "one.image.allocate", f"NAME = {kind}\nTYPE = {kind}\nPATH = /var/tmp/{kind}", store)
    w.make("image data", "one.image.allocate", "NAME = data\nTYPE = DATABLOCK\nSIZE = 10\nPERSISTENT = YES", datastore)
    w.make("image spare", "one.image.allocate", "NAME = spare\nTYPE = DATABLOCK\nSIZE = 10\nNOTE = <&>", datastore)
    for name, oid in w.oids.items():
        if name.startswith("image "):
            w.wait("one.image.info", oid, 1)
    w.make("copy", "one.image.clone", w.oids["image spare"], "copy", -1)
    w.wait("one.image.info", w.oids["copy"], 1)
    w.do("one.image.enable", w.oids["copy"], False)
    w.do("one.image.lock", w.oids["copy"], 1, False)


def networks(w: World) -> None:
    group = w.make(
        "secgroup", "one.secgroup.allocate", "NAME = web\nRULE = [ PROTOCOL = TCP, RULE_TYPE = inbound, RANGE = 80 ]"
    )
    ranges = "\n".join(
        f"AR = [ {one} ]"
        for one in (
            "TYPE = IP4, IP = 10.0.0.2, SIZE = 50",
            "TYPE = ETHER, SIZE = 5",
            'TYPE = IP6, SIZE = 5, GLOBAL_PREFIX = "2001:db8::", ULA_PREFIX = "fd00::"',
            'TYPE = IP4_6, IP = 10.1.0.2, SIZE = 5, GLOBAL_PREFIX = "2001:db8:1::"',
            'TYPE = IP6_STATIC, IP6 = "2001:db8:2::1", PREFIX_LENGTH = 64, SIZE = 5',
            'TYPE = IP4_6_STATIC, IP = 10.2.0.2, IP6 = "2001:db8:3::1", PREFIX_LENGTH = 64, SIZE = 5',
        )
    )
    lan = w.make(
        "lan",
        "one.vn.allocate",
        f"NAME = lan\nVN_MAD = bridge\nBRIDGE = br0\nGATEWAY = 10.0.0.1\nSECURITY_GROUPS = {group}\n{ranges}",
        0,
    )
    w.wait("one.vn.info", lan, 1)
    w.do("one.vn.hold", lan, 'LEASES = [ IP = "10.0.0.40" ]')
    w.make("reserved", "one.vn.reserve", lan, "NAME = mine\nSIZE = 5\nAR_ID = 0")
    template = w.make(
        "vntemplate",
        "one.vntemplate.allocate",
        "NAME = nets\nVN_MAD = bridge\nBRIDGE = br1\nAR = [ TYPE = IP4, IP = 10.9.0.2, SIZE = 9 ]",
    )
    w.make("from template", "one.vntemplate.instantiate", template, "made", "")
    w.wait("one.vn.info", w.oids["from template"], 1)


def templates(w: World) -> None:
    base = (
        f"CPU = 0.1\nVCPU = 1\nMEMORY = 16\nDISK = [ IMAGE_ID = {w.oids['image OS']} ]\nDISK = [ TYPE = fs, SIZE = 20 ]\n"
        f'NIC = [ NETWORK_ID = {w.oids["lan"]} ]\nGRAPHICS = [ TYPE = VNC ]\nCONTEXT = [ NETWORK = YES, NOTE = "<&>" ]\n'
        'LABELS = "a,b"\nSCHED_REQUIREMENTS = "FREE_CPU > 1"\nSCHED_RANK = FREE_MEMORY\n'
        'USER_INPUTS = [ PASS = "M|password|secret" ]\nCPU_COST = 1\nMEMORY_COST = 0.01'
    )
    w.make("template", "one.template.allocate", f"NAME = base\n{base}")
    w.make("copied", "one.template.clone", w.oids["template"], "copied", False)
    w.do("one.template.lock", w.oids["copied"], 4, False)
    w.make(
        "vmgroup",
        "one.vmgroup.allocate",
        'NAME = pair\nROLE = [ NAME = a, POLICY = AFFINED ]\nROLE = [ NAME = b ]\nAFFINED = "a,b"',
    )


def machines(w: World) -> None:
    """One VM for each state that a user can bring about."""
    stopping = {
        "poweroff": POWEROFF,
        "suspend": SUSPENDED,
        "stop": STOPPED,
        "undeploy": UNDEPLOYED,
        "terminate-hard": DONE,
    }
    template = w.oids["template"]
    extra = f"VMGROUP = [ VMGROUP_ID = {w.oids['vmgroup']}, ROLE = b ]\nBACKUP_CONFIG = [ KEEP_LAST = 2, MODE = FULL ]"
    for name in ("running", "busy", *stopping):
        w.make(name, "one.template.instantiate", template, name, False, extra if name == "busy" else "", False)
        w.do("one.vm.deploy", w.oids[name], w.oids["host"], False, w.oids["system"])
    w.make("pending", "one.template.instantiate", template, "pending", False, "", False)
    w.make("hold", "one.template.instantiate", template, "hold it", True, "", False)
    w.make("bare", "one.vm.allocate", "CPU = 0.1\nMEMORY = 16", False)
    for name in ("running", "busy", *stopping):
        w.wait("one.vm.info", w.oids[name], *RUNNING)
    for deed, states in stopping.items():
        w.act(w.oids[deed], deed, *states)
    w.do("one.vm.lock", w.oids["poweroff"], 2, False)


def deeds(w: World) -> None:
    """What can be done to a running VM, each leaving its mark."""
    vm = w.oids["busy"]
    w.settled(vm, "one.vm.attach", vm, f"DISK = [ IMAGE_ID = {w.oids['image data']} ]")
    w.settled(vm, "one.vm.attachnic", vm, f"NIC = [ NETWORK_ID = {w.oids['lan']} ]")
    w.settled(vm, "one.vm.attachnic", vm, f"NIC_ALIAS = [ NETWORK_ID = {w.oids['lan']}, PARENT = NIC0 ]")
    w.settled(vm, "one.vm.detachnic", vm, 1)
    w.settled(vm, "one.vm.snapshotcreate", vm, "before <upgrade>")
    w.settled(vm, "one.vm.disksnapshotcreate", vm, 0, "first")
    w.settled(vm, "one.vm.backup", vm, w.oids["backups"], False)
    w.do("one.vm.schedadd", vm, f"SCHED_ACTION = [ ACTION = poweroff, TIME = {LATER} ]")
    w.do(
        "one.vm.schedadd",
        vm,
        f'SCHED_ACTION = [ ACTION = snapshot-create, ARGS = x, TIME = {LATER}, REPEAT = 0, DAYS = "1,3" ]',
    )
    w.settled(vm, "one.vm.migrate", vm, w.oids["host2"], True, False, -1, 0)
    w.do("one.vm.action", "resched", vm)
    w.do("one.vm.update", vm, 'NOTE = "quotes \\" and <tags>"', 1)
    poweroff = w.oids["stop"]
    w.do("one.vm.rename", poweroff, "stopped")
    w.do("one.vm.chown", poweroff, w.oids["alice"], w.oids["group"])
    w.do("one.vm.chmod", poweroff, 1, 1, 0, 1, 0, 0, 1, 0, 0)
    w.do("one.vmpool.calculateshowback", -1, -1, -1, -1)


def services(w: World) -> None:
    """Documents, markets, backup jobs, hooks."""
    plain = w.make("plain template", "one.template.allocate", "NAME = plain\nCPU = 0.1\nMEMORY = 16\nNOTE = x")
    w.make("document", "one.document.allocate", 'NAME = svc\nTEMPLATE = [ BODY = "{\\"a\\": 1}" ]', 100)
    public = w.folder / "market"
    public.mkdir()
    market = w.make(
        "market",
        "one.market.allocate",
        f'NAME = shop\nMARKET_MAD = http\nBASE_URL = "http://127.0.0.1:9/"\nPUBLIC_DIR = "{public}"',
    )
    w.make("app", "one.marketapp.allocate", f"NAME = app\nTYPE = VMTEMPLATE\nORIGIN_ID = {plain}\nVERSION = 2", market)
    job = w.make(
        "job",
        "one.backupjob.allocate",
        f"NAME = nightly\nBACKUP_VMS = {w.oids['busy']}\nDATASTORE_ID = {w.oids['backups']}\nKEEP_LAST = 3",
    )
    w.do(
        "one.backupjob.schedadd",
        job,
        f'SCHED_ACTION = [ TIME = {LATER}, REPEAT = 0, DAYS = "1,3", END_TYPE = 1, END_VALUE = 5 ]',
    )
    w.make(
        "api hook",
        "one.hook.allocate",
        "NAME = api\nTYPE = api\nCALL = one.document.rename\nCOMMAND = /bin/true\nARGUMENTS = $API",
    )
    w.make(
        "state hook",
        "one.hook.allocate",
        "NAME = state\nTYPE = state\nRESOURCE = VM\nON = RUNNING\nCOMMAND = /bin/true",
    )
    w.do("one.document.rename", w.oids["document"], "renamed")
    until(lambda: w.read("one.hooklog.info", -1, -1, w.oids["api hook"], 0).find("HOOK_EXECUTION_RECORD") is not None)


def routers(w: World) -> None:
    router = w.make(
        "vrouter", "one.vrouter.allocate", f"NAME = edge\nNIC = [ NETWORK_ID = {w.oids['lan']}, FLOATING_IP = YES ]"
    )
    plain = w.make(
        "router template", "one.template.allocate", "NAME = appliance\nCPU = 0.1\nMEMORY = 16\nVROUTER = YES"
    )
    w.do("one.vrouter.instantiate", router, 1, plain, "", False, "")


def rules(w: World) -> None:
    vdc = w.make("vdc", "one.vdc.allocate", "NAME = department\nNOTE = x", -1)
    w.do("one.vdc.addgroup", vdc, w.oids["group"])
    w.do("one.vdc.addcluster", vdc, 0, w.oids["cluster"])
    w.do("one.vdc.addhost", vdc, 0, w.oids["host"])
    w.do("one.vdc.adddatastore", vdc, 0, w.oids["images"])
    w.do("one.vdc.addvnet", vdc, 0, w.oids["lan"])
    w.do("one.acl.addrule", "100000002", "20100000000", "1", "100000000")


POOL = (-2, -1, -1)
NOTHING: tuple[object, ...] = ()
POOLS: dict[str, tuple[object, ...]] = {
    "one.vmpool.info": (*POOL, -2),
    "one.vmpool.infoextended": (*POOL, -2),
    "one.vmpool.accounting": POOL,
    "one.vmpool.showback": (-2, -1, -1, -1, -1),
    "one.vmpool.monitoring": (-2,),
    "one.templatepool.info": POOL,
    "one.vntemplatepool.info": POOL,
    "one.hostpool.info": NOTHING,
    "one.hostpool.monitoring": NOTHING,
    "one.grouppool.info": NOTHING,
    "one.groupquota.info": NOTHING,
    "one.vnpool.info": POOL,
    "one.userpool.info": NOTHING,
    "one.userquota.info": NOTHING,
    "one.imagepool.info": POOL,
    "one.acl.info": NOTHING,
    "one.datastorepool.info": NOTHING,
    "one.clusterpool.info": NOTHING,
    "one.documentpool.info": (*POOL, 100),
    "one.zonepool.info": NOTHING,
    "one.zone.raftstatus": NOTHING,
    "one.secgrouppool.info": POOL,
    "one.vmgrouppool.info": POOL,
    "one.vdcpool.info": NOTHING,
    "one.vrouterpool.info": POOL,
    "one.marketpool.info": NOTHING,
    "one.marketapppool.info": POOL,
    "one.hookpool.info": POOL,
    "one.hooklog.info": (-1, -1, -1, 0),
    "one.backupjobpool.info": POOL,
    "one.system.config": NOTHING,
}
"""Reads that name no object, with arguments that show everything."""

OBJECTS = {
    "one.vm": "one.vmpool.info",
    "one.template": "one.templatepool.info",
    "one.vntemplate": "one.vntemplatepool.info",
    "one.host": "one.hostpool.info",
    "one.group": "one.grouppool.info",
    "one.vn": "one.vnpool.info",
    "one.user": "one.userpool.info",
    "one.image": "one.imagepool.info",
    "one.datastore": "one.datastorepool.info",
    "one.cluster": "one.clusterpool.info",
    "one.document": "one.documentpool.info",
    "one.zone": "one.zonepool.info",
    "one.secgroup": "one.secgrouppool.info",
    "one.vmgroup": "one.vmgrouppool.info",
    "one.vdc": "one.vdcpool.info",
    "one.vrouter": "one.vrouterpool.info",
    "one.market": "one.marketpool.info",
    "one.marketapp": "one.marketapppool.info",
    "one.hook": "one.hookpool.info",
    "one.backupjob": "one.backupjobpool.info",
}
"""The pool that names the objects of each kind."""


def everything(world: World) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Every read there is to ask: each pool, and each object with its further looks."""
    yield from POOLS.items()
    yield "one.vmpool.infoset", (f"{world.oids['busy']},{world.oids['hold']}", False)
    yield "one.vmpool.infoset", (str(world.oids["busy"]), True)
    yield "one.vm.monitoring", (world.oids["busy"],)
    yield "one.host.monitoring", (world.oids["host"],)
    yield "one.template.info", (world.oids["template"], True)
    for kind, pool in OBJECTS.items():
        for oid in world.read(pool, *POOLS[pool]).iterfind("*/ID"):
            yield f"{kind}.info", (int(oid.text or ""),)
    yield "one.vm.info", (world.oids["terminate-hard"],)


def ask(world: World) -> list[Asked]:
    return [Asked(method, arguments, world.do(method, *arguments)) for method, arguments in everything(world)]


def faults(asked: list[Asked], check: Callable[[Asked], str]) -> list[str]:
    """What `check` has against which answers, in a line each."""
    return [f"{one}: {fault}" for one in asked if (fault := check(one))]
