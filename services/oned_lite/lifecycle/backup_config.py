"""BACKUP_CONFIG of a VM: wrong values fall back to the defaults."""

from __future__ import annotations

from services.common.template import Template, Vector

FULL, INCREMENT = "FULL", "INCREMENT"
FREEZE_MODES = ("NONE", "AGENT", "SUSPEND")


def of_new(given: Template, template: Template) -> Template:
    """The configuration of a new VM; empty where it has none."""
    asked = given.vector("BACKUP_CONFIG")
    return Template() if asked is None else merged(Template(), asked, template)


def merged(old: Template, asked: Vector, template: Template) -> Template:
    """`asked` on top of the present configuration of a VM with that TEMPLATE."""
    keep_last = asked.get_int("KEEP_LAST", -1)
    volatile = asked.get("BACKUP_VOLATILE", None)
    freeze = asked.get("FS_FREEZE", old.get("FS_FREEZE")).upper()
    mode = asked.get("MODE", old.get("MODE")).upper()
    found = {
        "BACKUP_VOLATILE": old.get("BACKUP_VOLATILE") or "NO" if volatile is None else _yes_no(volatile),
        "FS_FREEZE": freeze if freeze in FREEZE_MODES else "NONE",
        "KEEP_LAST": str(keep_last) if keep_last >= 0 else old.get("KEEP_LAST") or "0",
        "LAST_INCREMENT_ID": old.get("LAST_INCREMENT_ID") or "-1",
        "INCREMENTAL_BACKUP_ID": old.get("INCREMENTAL_BACKUP_ID") or "-1",
        "MODE": INCREMENT if mode == INCREMENT and can_increment(template, _yes_no(volatile or "")) else FULL,
    }
    for name in ("BACKUP_JOB_ID",):
        if old.get(name):
            found[name] = old.get(name)
    return Template.of(found)


def _yes_no(text: str) -> str:
    return "YES" if text.upper() == "YES" else "NO"


def can_increment(template: Template, volatile: str) -> bool:
    """Increments need qcow2 on every disk that is backed up."""
    backed_up = [disk for disk in template.vectors("DISK") if disk.get("IMAGE_ID") or volatile == "YES"]
    return all(disk.get("FORMAT").lower() == "qcow2" for disk in backed_up)
