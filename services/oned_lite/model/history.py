"""History records (table history): one for each stay of a VM on a host, or for each part of it that an action ended."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from services.oned_lite.state import Reader, Table
from services.oned_lite.state.table import rows

from .xml import element, escape

NOBODY = -1


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times in epoch seconds, 0 while unset: `stime`..`etime` the record, `pstime`..`petime` prolog, `rstime`..`retime`
    running, `estime`..`eetime` epilog. `uid`, `gid` and `request_id` tell who asked for `action`, which ended it.

    `vm` is the VM's row as it was when the record last changed its state: what accounting shows and showback charges.
    """

    oid: int
    seq: int
    hostname: str
    hid: int
    cid: int
    vm_mad: str
    tm_mad: str
    ds_id: int
    stime: int
    etime: int = 0
    pstime: int = 0
    petime: int = 0
    rstime: int = 0
    retime: int = 0
    estime: int = 0
    eetime: int = 0
    action: int = 0
    uid: int = NOBODY
    gid: int = NOBODY
    request_id: int = NOBODY
    vm: bytes = b""
    prev_state: int = 0
    prev_lcm_state: int = 0

    def to_xml(self, vm_xml: str = "") -> str:
        """`<HISTORY>`; accounting puts the VM's body into it."""
        return (
            f"<HISTORY><OID>{self.oid}</OID><SEQ>{self.seq}</SEQ><HOSTNAME>{escape(self.hostname)}</HOSTNAME>"
            f"<HID>{self.hid}</HID><CID>{self.cid}</CID><STIME>{self.stime}</STIME><ETIME>{self.etime}</ETIME>"
            f"<VM_MAD>{self.vm_mad}</VM_MAD><TM_MAD>{self.tm_mad}</TM_MAD><DS_ID>{self.ds_id}</DS_ID>"
            f"<PSTIME>{self.pstime}</PSTIME><PETIME>{self.petime}</PETIME><RSTIME>{self.rstime}</RSTIME>"
            f"<RETIME>{self.retime}</RETIME><ESTIME>{self.estime}</ESTIME><EETIME>{self.eetime}</EETIME>"
            f"<ACTION>{self.action}</ACTION><UID>{self.uid}</UID><GID>{self.gid}</GID>"
            f"<REQUEST_ID>{self.request_id}</REQUEST_ID>{vm_xml}</HISTORY>"
        )

    def to_short_xml(self) -> str:
        """As one.vmpool.info shows it."""
        shown = (
            ("OID", self.oid),
            ("SEQ", self.seq),
            ("HOSTNAME", escape(self.hostname)),
            ("HID", self.hid),
            ("CID", self.cid),
            ("DS_ID", self.ds_id),
            ("VM_MAD", self.vm_mad),
            ("TM_MAD", self.tm_mad),
            ("ACTION", self.action),
        )
        return "<HISTORY>" + "".join(element(tag, value) for tag, value in shown) + "</HISTORY>"


def _by_vm(record: History) -> tuple[Hashable, ...]:
    return (record.oid,)


HISTORY: Table[History] = Table("history", History, key=lambda record: (record.oid, record.seq), indexes={"vm": _by_vm})


def records(reader: Reader, oid: int) -> list[History]:
    """All records of a VM, the oldest first."""
    return rows(reader, HISTORY, "vm", oid)
