"""Users and groups."""

from services.sunstone_lite.cells import Flag, Link, Text
from services.sunstone_lite.forms import Answers, Field, Form
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind
from services.sunstone_lite.kinds.pieces import (
    NAME_FIELD,
    OID,
    TEMPLATE_TREE,
    count,
    delete,
    members,
    name_column,
    text,
    wide,
)


def _enabled(item: Item) -> Flag:
    return Flag(item.number("ENABLED", 1) == 1)


def _primary(item: Item) -> Link:
    return Link("groups", item.number("GID"), item.text("GNAME"))


def _create_user(answers: Answers) -> Call:
    groups = [int(answers["group"])] if answers["group"] else []
    return Call("one.user.allocate", (answers["name"], answers["password"], "core", list(groups)))


ENABLED = Column("enabled", N_("Enabled"), _enabled)
DRIVER = text("driver", N_("Sign-in by"), "AUTH_DRIVER")

USERS = Kind(
    key="users",
    tag="USER",
    icon="user",
    title=N_("Users"),
    singular=N_("User"),
    pool=Call("one.userpool.info"),
    info="one.user.info",
    columns=(OID, name_column("users"), Column("group", N_("Group"), _primary), wide(DRIVER), ENABLED),
    facts=(
        Column("group", N_("Main group"), _primary),
        ENABLED,
        DRIVER,
        count("tokens", N_("Login tokens"), "LOGIN_TOKEN"),
    ),
    tables=(members("groups", N_("Groups"), "GROUPS/ID", heading=N_("Group")),),
    trees=(TEMPLATE_TREE,),
    actions=(
        delete(
            "one.user.delete",
            applies=lambda item: item.oid > 1,
            warning=N_("What the user owns stays, without an owner."),
        ),
    ),
    create=Creation(
        N_("Create user"),
        Form(
            fields=(
                Field("name", N_("User name"), required=True, rule="user"),
                Field("password", N_("Password"), "password", required=True),
                Field("group", N_("Main group"), "choice", pool="groups", default="1", none=N_("yours")),
            )
        ),
        _create_user,
    ),
    empty=N_("No users that you may see."),
)

MEMBERS = count("users", N_("Users"), "USERS/ID")

GROUPS = Kind(
    key="groups",
    tag="GROUP",
    icon="group",
    title=N_("Groups"),
    singular=N_("Group"),
    pool=Call("one.grouppool.info"),
    info="one.group.info",
    columns=(OID, name_column("groups"), MEMBERS, count("admins", N_("Administrators"), "ADMINS/ID")),
    facts=(
        MEMBERS,
        Column(
            "admins", N_("Administrators"), lambda item: Text(", ".join(f"#{a.value}" for a in item.all("ADMINS/ID")))
        ),
    ),
    tables=(members("users", N_("Users"), "USERS/ID", heading=N_("User")),),
    trees=(TEMPLATE_TREE,),
    actions=(delete("one.group.delete", applies=lambda item: item.oid > 1),),
    create=Creation(
        N_("Create group"),
        Form(fields=(NAME_FIELD,)),
        lambda answers: Call("one.group.allocate", (answers["name"],)),
    ),
    empty=N_("No groups that you may see."),
)
