"""States as people read them: a word, a tone, and OpenNebula's own name beside it."""

from services.sunstone_lite.cells import State, Tone
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item

VM_ACTIVE = 3

_LCM_NAMES = """
    LCM_INIT PROLOG BOOT RUNNING MIGRATE SAVE_STOP SAVE_SUSPEND SAVE_MIGRATE PROLOG_MIGRATE PROLOG_RESUME
    EPILOG_STOP EPILOG SHUTDOWN CANCEL FAILURE CLEANUP_RESUBMIT UNKNOWN HOTPLUG SHUTDOWN_POWEROFF BOOT_UNKNOWN
    BOOT_POWEROFF BOOT_SUSPENDED BOOT_STOPPED CLEANUP_DELETE HOTPLUG_SNAPSHOT HOTPLUG_NIC HOTPLUG_SAVEAS
    HOTPLUG_SAVEAS_POWEROFF HOTPLUG_SAVEAS_SUSPENDED SHUTDOWN_UNDEPLOY EPILOG_UNDEPLOY PROLOG_UNDEPLOY
    BOOT_UNDEPLOY HOTPLUG_PROLOG_POWEROFF HOTPLUG_EPILOG_POWEROFF BOOT_MIGRATE BOOT_FAILURE
    BOOT_MIGRATE_FAILURE PROLOG_MIGRATE_FAILURE PROLOG_FAILURE EPILOG_FAILURE EPILOG_STOP_FAILURE
    EPILOG_UNDEPLOY_FAILURE PROLOG_MIGRATE_POWEROFF PROLOG_MIGRATE_POWEROFF_FAILURE PROLOG_MIGRATE_SUSPEND
    PROLOG_MIGRATE_SUSPEND_FAILURE BOOT_UNDEPLOY_FAILURE BOOT_STOPPED_FAILURE PROLOG_RESUME_FAILURE
    PROLOG_UNDEPLOY_FAILURE DISK_SNAPSHOT_POWEROFF DISK_SNAPSHOT_REVERT_POWEROFF DISK_SNAPSHOT_DELETE_POWEROFF
    DISK_SNAPSHOT_SUSPENDED DISK_SNAPSHOT_REVERT_SUSPENDED DISK_SNAPSHOT_DELETE_SUSPENDED DISK_SNAPSHOT
    DISK_SNAPSHOT_REVERT DISK_SNAPSHOT_DELETE PROLOG_MIGRATE_UNKNOWN PROLOG_MIGRATE_UNKNOWN_FAILURE DISK_RESIZE
    DISK_RESIZE_POWEROFF DISK_RESIZE_UNDEPLOYED HOTPLUG_NIC_POWEROFF HOTPLUG_RESIZE HOTPLUG_SAVEAS_UNDEPLOYED
    HOTPLUG_SAVEAS_STOPPED BACKUP BACKUP_POWEROFF
"""

# LCM_STATE is the index into this list.
LCM_STATES = tuple(_LCM_NAMES.split())

VM_STATES: dict[int, tuple[str, str, Tone]] = {
    0: ("INIT", N_("Starting"), "busy"),
    1: ("PENDING", N_("Pending"), "busy"),
    2: ("HOLD", N_("On hold"), "idle"),
    4: ("STOPPED", N_("Stopped"), "idle"),
    5: ("SUSPENDED", N_("Suspended"), "idle"),
    6: ("DONE", N_("Done"), "idle"),
    8: ("POWEROFF", N_("Powered off"), "idle"),
    9: ("UNDEPLOYED", N_("Undeployed"), "idle"),
    10: ("CLONING", N_("Cloning"), "busy"),
    11: ("CLONING_FAILURE", N_("Failed"), "bad"),
}

# The first prefix that fits decides; failures are told by their ending before this table is asked.
LCM_WORDS: tuple[tuple[str, str, Tone], ...] = (
    ("RUNNING", N_("Running"), "good"),
    ("UNKNOWN", N_("Unknown"), "warn"),
    ("PROLOG_MIGRATE", N_("Migrating"), "busy"),
    ("BOOT_MIGRATE", N_("Migrating"), "busy"),
    ("SAVE_MIGRATE", N_("Migrating"), "busy"),
    ("MIGRATE", N_("Migrating"), "busy"),
    ("PROLOG", N_("Preparing"), "busy"),
    ("BOOT", N_("Booting"), "busy"),
    ("SAVE", N_("Saving state"), "busy"),
    ("EPILOG", N_("Wrapping up"), "busy"),
    ("SHUTDOWN", N_("Shutting down"), "busy"),
    ("CANCEL", N_("Shutting down"), "busy"),
    ("CLEANUP", N_("Cleaning up"), "busy"),
    ("HOTPLUG_SNAPSHOT", N_("Taking snapshot"), "busy"),
    ("DISK_SNAPSHOT", N_("Taking snapshot"), "busy"),
    ("HOTPLUG", N_("Changing devices"), "busy"),
    ("DISK_RESIZE", N_("Resizing disk"), "busy"),
    ("BACKUP", N_("Backing up"), "busy"),
)

Table = dict[int, tuple[str, str, Tone]]

HOST_STATES: Table = {
    0: ("INIT", N_("Starting"), "busy"),
    1: ("MONITORING_MONITORED", N_("On"), "good"),
    2: ("MONITORED", N_("On"), "good"),
    3: ("ERROR", N_("Error"), "bad"),
    4: ("DISABLED", N_("Disabled"), "idle"),
    5: ("MONITORING_ERROR", N_("Retrying"), "warn"),
    6: ("MONITORING_INIT", N_("Starting"), "busy"),
    7: ("MONITORING_DISABLED", N_("Disabled"), "idle"),
    8: ("OFFLINE", N_("Offline"), "idle"),
}

IMAGE_STATES: Table = {
    0: ("INIT", N_("Starting"), "busy"),
    1: ("READY", N_("Ready"), "good"),
    2: ("USED", N_("In use"), "good"),
    3: ("DISABLED", N_("Disabled"), "idle"),
    4: ("LOCKED", N_("Copying"), "busy"),
    5: ("ERROR", N_("Error"), "bad"),
    6: ("CLONE", N_("Cloning"), "busy"),
    7: ("DELETE", N_("Deleting"), "busy"),
    8: ("USED_PERS", N_("In use"), "good"),
    9: ("LOCKED_USED", N_("Locked"), "busy"),
    10: ("LOCKED_USED_PERS", N_("Locked"), "busy"),
}

DATASTORE_STATES: Table = {0: ("READY", N_("On"), "good"), 1: ("DISABLED", N_("Disabled"), "idle")}

NETWORK_STATES: Table = {
    0: ("INIT", N_("Starting"), "busy"),
    1: ("READY", N_("Ready"), "good"),
    2: ("LOCK_CREATE", N_("Creating"), "busy"),
    3: ("LOCK_DELETE", N_("Deleting"), "busy"),
    4: ("DONE", N_("Done"), "idle"),
    5: ("ERROR", N_("Error"), "bad"),
    6: ("UPDATE_FAILURE", N_("Failed"), "bad"),
}

ZONE_STATES: Table = {0: ("ENABLED", N_("Enabled"), "good"), 1: ("DISABLED", N_("Disabled"), "warn")}


def of(table: Table, code: int) -> State:
    """The state with this number in `table`; an unknown number is shown as it is."""
    name, word, tone = table.get(code, (str(code), N_("Unknown"), "warn"))
    return State(word, tone, name)


def vm(item: Item) -> State:
    """State of a VM from STATE and, while it is ACTIVE, LCM_STATE."""
    if item.number("STATE") == VM_ACTIVE:
        return _lcm(vm_code(item))
    return of(VM_STATES, item.number("STATE"))


def vm_code(item: Item) -> str:
    """OpenNebula's name of the state: the LCM name while ACTIVE, else the VM state's."""
    state, lcm = item.number("STATE"), item.number("LCM_STATE")
    if state == VM_ACTIVE:
        return LCM_STATES[lcm] if 0 <= lcm < len(LCM_STATES) else str(lcm)
    return VM_STATES.get(state, (str(state), "", "warn"))[0]


def _lcm(code: str) -> State:
    if code.endswith("FAILURE"):
        return State(N_("Failed"), "bad", code)
    for prefix, word, tone in LCM_WORDS:
        if code.startswith(prefix):
            return State(word, tone, code)
    return State(N_("Unknown"), "warn", code)
