"""The cluster and the datastores of a fresh database."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.lifecycle.datastore import is_monitored
from services.oned_lite.model.cluster import CLUSTERS, DEFAULT_CLUSTER, FIRST_USER_CLUSTER, Cluster
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import (
    DATASTORES,
    DEFAULT_DATASTORE,
    FILES_DATASTORE,
    SYSTEM_DATASTORE,
    Datastore,
    DatastoreType,
)
from services.oned_lite.model.datastore_rules import completed
from services.oned_lite.model.objects import COUNTERS, Counter, Permissions
from services.oned_lite.state import Transaction

from .cluster import NEW_TEMPLATE

SYSTEM_TEMPLATE = Template.of(TM_MAD="ssh", TYPE="SYSTEM_DS")
IMAGE_TEMPLATE = Template.of(DS_MAD="fs", TM_MAD="ssh", TYPE="IMAGE_DS")
FILE_TEMPLATE = Template.of(DS_MAD="fs", TM_MAD="ssh", TYPE="FILE_DS")


def storage_objects(tx: Transaction, conf: Configuration) -> None:
    tx.put(CLUSTERS.table, Cluster(oid=DEFAULT_CLUSTER, name="default", template=NEW_TEMPLATE))
    tx.put(COUNTERS, Counter(tablename=CLUSTERS.table.name, last_oid=FIRST_USER_CLUSTER - 1))
    _datastore(tx, conf, SYSTEM_DATASTORE, "system", SYSTEM_TEMPLATE)
    _datastore(tx, conf, DEFAULT_DATASTORE, "default", IMAGE_TEMPLATE)
    _datastore(tx, conf, FILES_DATASTORE, "files", FILE_TEMPLATE)
    tx.put(COUNTERS, Counter(tablename=DATASTORES.table.name, last_oid=DATASTORES.first_oid - 1))


def _datastore(tx: Transaction, conf: Configuration, oid: int, name: str, template: Template) -> None:
    row = Datastore(
        oid=oid,
        name=name,
        permissions=Permissions.from_octal(0o640),
        ds_mad="",
        tm_mad="",
        type=DatastoreType.IMAGE_DS,
        base_path=f"{conf.template.get('DATASTORE_LOCATION')}/{oid}",
        cluster_ids=(DEFAULT_CLUSTER,),
        template=template,
    )
    row = completed(row, conf)
    tx.put(DATASTORES.table, replace(row, monitoring=is_monitored(row)))
