"""What becomes of each key of OpenNebula 6.8.0's oned.conf: data for the reader (`oned_conf`) and for the documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Fate(Enum):
    """The three things that can happen to a key that is known."""

    SETTING = "becomes a setting"
    OBEYED = "is obeyed"
    SHOWN = "has no effect"


class Form(Enum):
    """What a value must look like."""

    TEXT = ""
    NUMBER = "a whole number"
    YES_NO = "YES or NO"
    OCTAL = "three octal digits"


@dataclass(frozen=True, slots=True)
class Key:
    """`says`: the setting's key, what is done with it, or why nothing is. `often`: it may be given more than once."""

    fate: Fate
    says: str
    form: Form = Form.TEXT
    often: bool = False


def _setting(key: str, form: Form = Form.TEXT) -> Key:
    return Key(Fate.SETTING, key, form)


def _obeyed(how: str, form: Form = Form.TEXT) -> Key:
    return Key(Fate.OBEYED, how, form)


def _list(how: str) -> Key:
    return Key(Fate.OBEYED, how, often=True)


def _shown(why: str, form: Form = Form.TEXT) -> Key:
    return Key(Fate.SHOWN, why, form)


_NO_EXECUTABLE = "drivers are built in, no program is run for them"
_NO_FEDERATION = "a zone is always on its own"
_XMLRPC = "the HTTP server has bounds of its own"
_PURGE = "the log is purged in small steps as it grows"
_VDC = "rights of a VDC's group on what is added to it"
_OPERATIONS = "rights that VM operations need"
_RESTRICTED = "attributes that only oneadmin's group may set"
_ENCRYPTED = "attributes that are stored encrypted"
_INHERITED = "attributes that VMs take over"

KEYS: Mapping[str, Key] = {
    # ------------------------------------------------------------------ the daemon
    "MANAGER_TIMER": _shown("each part has a timer of its own", Form.NUMBER),
    "MONITORING_INTERVAL_DATASTORE": _obeyed("seconds between two looks at a datastore", Form.NUMBER),
    "MONITORING_INTERVAL_MARKET": _obeyed("seconds between two looks at a marketplace", Form.NUMBER),
    "MONITORING_INTERVAL_DB_UPDATE": _shown("monitoring goes through the log like every other change", Form.NUMBER),
    "DS_MONITOR_VM_DISK": _shown("the disks of VMs are not measured", Form.NUMBER),
    "VM_MONITORING_EXPIRATION_TIME": _shown("the newest figures are kept", Form.NUMBER),
    "SCRIPTS_REMOTE_DIR": _shown(_NO_EXECUTABLE),
    "HOSTNAME": _shown(_NO_EXECUTABLE),
    "DB/BACKEND": _setting("database.kind"),
    "DB/SERVER": _setting("database.socket or database.host"),
    "DB/PORT": _setting("database.port", Form.NUMBER),
    "DB/USER": _setting("database.user"),
    "DB/PASSWD": _setting("database.password"),
    "DB/DB_NAME": _setting("database.name"),
    "DB/TIMEOUT": _shown("SQLite is used by one process", Form.NUMBER),
    "DB/CONNECTIONS": _shown("two connections are enough", Form.NUMBER),
    "DB/COMPARE_BINARY": _shown("names are told apart by case"),
    "DB/ENCODING": _shown("always UTF-8"),
    "DB/ERRORS_LIMIT": _shown("a server whose database fails neither votes nor leads until it is back", Form.NUMBER),
    "VNC_PORTS/START": _obeyed("first port of VNC and SPICE", Form.NUMBER),
    "VNC_PORTS/RESERVED": _obeyed("ports not to be given out"),
    "MAX_BACKUPS": _obeyed("backups of backup jobs at a time", Form.NUMBER),
    "MAX_BACKUPS_HOST": _obeyed("the same for each host", Form.NUMBER),
    "LOG/SYSTEM": _shown("logs go to stderr; systemd keeps them"),
    "LOG/DEBUG_LEVEL": _setting("log.level", Form.NUMBER),
    "LOG/USE_VMS_LOCATION": _shown("VMs have no log files"),
    "PORT": _setting("listen", Form.NUMBER),
    "LISTEN_ADDRESS": _setting("listen"),
    "VM_SUBMIT_ON_HOLD": _obeyed("new VMs wait in HOLD", Form.YES_NO),
    "API_LIST_ORDER": _obeyed("DESC or ASC: the order of lists"),
    # ------------------------------------------------------------------ zone and consensus
    "FEDERATION/MODE": _shown(f"{_NO_FEDERATION}; other values than STANDALONE are refused"),
    "FEDERATION/ZONE_ID": _shown(_NO_FEDERATION, Form.NUMBER),
    "FEDERATION/SERVER_ID": _setting("cluster.server_id; -1 for a server alone", Form.NUMBER),
    "FEDERATION/MASTER_ONED": _shown(_NO_FEDERATION),
    "RAFT/ELECTION_TIMEOUT_MS": _setting("raft.election_timeout_ms", Form.NUMBER),
    "RAFT/BROADCAST_TIMEOUT_MS": _setting("raft.heartbeat_ms", Form.NUMBER),
    "RAFT/LOG_RETENTION": _setting("raft.log_retention_entries", Form.NUMBER),
    "RAFT/LIMIT_PURGE": _shown(_PURGE, Form.NUMBER),
    "RAFT/LOG_PURGE_TIMEOUT": _shown(_PURGE, Form.NUMBER),
    "RAFT/XMLRPC_TIMEOUT_MS": _shown("servers talk over connections of their own", Form.NUMBER),
    "RAFT_LEADER_HOOK/COMMAND": _setting("raft.leader_hook"),
    "RAFT_LEADER_HOOK/ARGUMENTS": _setting("raft.leader_hook"),
    "RAFT_FOLLOWER_HOOK/COMMAND": _setting("raft.follower_hook"),
    "RAFT_FOLLOWER_HOOK/ARGUMENTS": _setting("raft.follower_hook"),
    # ------------------------------------------------------------------ showback
    "DEFAULT_COST/CPU_COST": _obeyed("what VMs cost that do not say it"),
    "DEFAULT_COST/MEMORY_COST": _obeyed("what VMs cost that do not say it"),
    "DEFAULT_COST/DISK_COST": _obeyed("what VMs cost that do not say it"),
    "SHOWBACK_ONLY_RUNNING": _obeyed("only running VMs cost", Form.YES_NO),
    # ------------------------------------------------------------------ XML-RPC
    "MAX_CONN": _setting("http.connections", Form.NUMBER),
    "MAX_CONN_BACKLOG": _shown(_XMLRPC, Form.NUMBER),
    "KEEPALIVE_TIMEOUT": _shown(_XMLRPC, Form.NUMBER),
    "KEEPALIVE_MAX_CONN": _shown(_XMLRPC, Form.NUMBER),
    "TIMEOUT": _shown(_XMLRPC, Form.NUMBER),
    "MESSAGE_SIZE": _shown(_XMLRPC, Form.NUMBER),
    "RPC_LOG": _shown("calls are counted at /metrics, not logged", Form.YES_NO),
    "LOG_CALL_FORMAT": _shown("calls are counted at /metrics, not logged"),
    # ------------------------------------------------------------------ networks and storage
    "NETWORK_SIZE": _shown("6.8.0 does not use it either", Form.NUMBER),
    "MAC_PREFIX": _obeyed("first two bytes of MAC addresses"),
    "VLAN_IDS/START": _obeyed("first VLAN id", Form.NUMBER),
    "VLAN_IDS/RESERVED": _obeyed("VLAN ids not to be given out"),
    "VXLAN_IDS/START": _obeyed("first VXLAN id", Form.NUMBER),
    "PCI_PASSTHROUGH_BUS": _obeyed("bus of passed-through devices in the guest"),
    "DATASTORE_LOCATION": _setting("datastores"),
    "DATASTORE_CAPACITY_CHECK": _obeyed("images must fit into their datastore", Form.YES_NO),
    "DEFAULT_IMAGE_TYPE": _obeyed("type of images that do not say it"),
    "DEFAULT_DEVICE_PREFIX": _obeyed("device names of disks"),
    "DEFAULT_CDROM_DEVICE_PREFIX": _obeyed("device names of CD-ROMs"),
    "DEFAULT_IMAGE_PERSISTENT": _shown("clones are as persistent as their image", Form.YES_NO),
    "DEFAULT_IMAGE_PERSISTENT_NEW": _obeyed("whether new images are persistent", Form.YES_NO),
    "VM_SNAPSHOT_FACTOR": _obeyed("part of the disk that a VM snapshot counts in quotas"),
    # ------------------------------------------------------------------ drivers
    "IM_MAD": Key(Fate.SHOWN, _NO_EXECUTABLE, often=True),
    "VM_MAD": Key(
        Fate.SHOWN, f"{_NO_EXECUTABLE}; hosts run with VM_MAD dummy. KEEP_SNAPSHOTS and its like are obeyed", often=True
    ),
    "TM_MAD": Key(Fate.SHOWN, _NO_EXECUTABLE, often=True),
    "DATASTORE_MAD": Key(Fate.SHOWN, _NO_EXECUTABLE, often=True),
    "MARKET_MAD": Key(Fate.SHOWN, _NO_EXECUTABLE, often=True),
    "IPAM_MAD": Key(Fate.SHOWN, _NO_EXECUTABLE, often=True),
    "AUTH_MAD": Key(Fate.SHOWN, f"{_NO_EXECUTABLE}; core and server_cipher authenticate", often=True),
    "HM_MAD": _setting("events, from -b and -p of its ARGUMENTS (needs pyzmq)"),
    "HOOK_LOG_CONF/LOG_RETENTION": _obeyed("records kept of each hook", Form.NUMBER),
    "TM_MAD_CONF": _list("what transfer drivers can do"),
    "DS_MAD_CONF": _list("what datastore drivers can do"),
    "MARKET_MAD_CONF": _list("what marketplace drivers can do"),
    "AUTH_MAD_CONF": _list("what authentication drivers allow"),
    "VN_MAD_CONF": _list("the kinds of networks"),
    # ------------------------------------------------------------------ users and rights
    "DEFAULT_AUTH": _shown("users that are not known are not looked for elsewhere"),
    "SESSION_EXPIRATION_TIME": _obeyed("seconds that a session is remembered", Form.NUMBER),
    "ENABLE_OTHER_PERMISSIONS": _obeyed("whether users may open objects to others", Form.YES_NO),
    "DEFAULT_UMASK": _obeyed("permissions of new objects", Form.OCTAL),
    "ONEGATE_ENDPOINT": _obeyed("VMs with a TOKEN in CONTEXT need it"),
    "CONTEXT_RESTRICTED_DIRS": _shown("files of CONTEXT are not read"),
    "CONTEXT_SAFE_DIRS": _shown("files of CONTEXT are not read"),
    "VM_ADMIN_OPERATIONS": _obeyed(_OPERATIONS),
    "VM_MANAGE_OPERATIONS": _obeyed(_OPERATIONS),
    "VM_USE_OPERATIONS": _obeyed(_OPERATIONS),
    "DEFAULT_VDC_HOST_ACL": _obeyed(_VDC),
    "DEFAULT_VDC_VNET_ACL": _obeyed(_VDC),
    "DEFAULT_VDC_DATASTORE_ACL": _obeyed(_VDC),
    "DEFAULT_VDC_CLUSTER_HOST_ACL": _obeyed(_VDC),
    "DEFAULT_VDC_CLUSTER_NET_ACL": _obeyed(_VDC),
    "DEFAULT_VDC_CLUSTER_DATASTORE_ACL": _obeyed(_VDC),
    **{f"{kind}_RESTRICTED_ATTR": _list(_RESTRICTED) for kind in ("VM", "IMAGE", "VNET", "USER", "GROUP")},
    **{
        f"{kind}_ENCRYPTED_ATTR": _list(_ENCRYPTED) for kind in ("HOST", "VM", "IMAGE", "DOCUMENT", "USER", "DATASTORE")
    },
    "CLUSTER_ENCRYPTED_ATTR": Key(Fate.SHOWN, "attributes of clusters are not stored encrypted", often=True),
    "VNET_ENCRYPTED_ATTR": Key(Fate.SHOWN, "attributes of networks are not stored encrypted", often=True),
    **{f"INHERIT_{kind}_ATTR": _list(_INHERITED) for kind in ("IMAGE", "DATASTORE", "VNET")},
}
"""By name, in the file's order; keys of vectors as VECTOR/KEY. Vectors that are not split up (drivers) may hold any key."""

DRIVER_VECTORS = frozenset(name for name in KEYS if name.endswith(("_MAD", "_MAD_CONF")))
VECTORS = frozenset(name.partition("/")[0] for name in KEYS if "/" in name)
NAMES = frozenset(name.partition("/")[0] for name in KEYS)
