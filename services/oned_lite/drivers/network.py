"""Network drivers: the side of a virtual network that is not on hosts (VNET_CREATE and VNET_DELETE of OpenNebula)."""

from __future__ import annotations

from services.oned_lite.lifecycle.work import Work, WorkResult
from services.oned_lite.model.configuration import Configuration


class NetworkDriver:
    """Driver family vn. Bridges and VLANs are made on hosts as VMs start there, so there is nothing to do beforehand; but
    a network whose driver nobody knows cannot be said to be made or gone."""

    def __init__(self, conf: Configuration) -> None:
        self._known = frozenset(driver.get("NAME") for driver in conf.template.vectors("VN_MAD_CONF"))

    async def run(self, work: Work) -> WorkResult:
        _family, _, name = work.driver.partition("/")
        return WorkResult(key=work.key, ok=name in self._known)
