"""Users and groups."""

from services.sunstone_lite.cells import Flag, Link, Number, Text
from services.sunstone_lite.forms import Answers, Field, Form
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Call, Column, Creation, Kind, Table, delete, name_column, oid_column, text


def _enabled(item: Item) -> Flag:
    return Flag(item.number("ENABLED", 1) == 1)


def _primary(item: Item) -> Link:
    return Link("groups", item.number("GID"), item.text("GNAME"))


def _create_user(answers: Answers) -> Call:
    groups = [int(answers["group"])] if answers["group"] else []
    return Call("one.user.allocate", (answers["name"], answers["password"], "core", list(groups)))


USERS = Kind(
    key="users",
    tag="USER",
    icon="user",
    title=N_("Users"),
    singular=N_("User"),
    pool=Call("one.userpool.info"),
    info="one.user.info",
    columns=(
        oid_column(),
        name_column("users", N_("Name")),
        Column("group", N_("Group"), _primary),
        text("driver", N_("Sign-in by"), "AUTH_DRIVER", wide=True),
        Column("enabled", N_("Enabled"), _enabled),
    ),
    facts=(
        Column("group", N_("Main group"), _primary),
        Column("enabled", N_("Enabled"), _enabled),
        text("driver", N_("Sign-in by"), "AUTH_DRIVER"),
        Column("tokens", N_("Login tokens"), lambda item: Number(len(item.all("LOGIN_TOKEN")))),
    ),
    tables=(
        Table(
            N_("Groups"),
            "GROUPS/ID",
            (Column("group", N_("Group"), lambda found: Link("groups", int(found.value or -1), f"#{found.value}")),),
        ),
    ),
    trees=((N_("Template"), "TEMPLATE"),),
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

GROUPS = Kind(
    key="groups",
    tag="GROUP",
    icon="group",
    title=N_("Groups"),
    singular=N_("Group"),
    pool=Call("one.grouppool.info"),
    info="one.group.info",
    columns=(
        oid_column(),
        name_column("groups", N_("Name")),
        Column("users", N_("Users"), lambda item: Number(len(item.all("USERS/ID")))),
        Column("admins", N_("Administrators"), lambda item: Number(len(item.all("ADMINS/ID")))),
    ),
    facts=(
        Column("users", N_("Users"), lambda item: Number(len(item.all("USERS/ID")))),
        Column(
            "admins", N_("Administrators"), lambda item: Text(", ".join(f"#{a.value}" for a in item.all("ADMINS/ID")))
        ),
    ),
    tables=(
        Table(
            N_("Users"),
            "USERS/ID",
            (Column("user", N_("User"), lambda found: Link("users", int(found.value or -1), f"#{found.value}")),),
        ),
    ),
    trees=((N_("Template"), "TEMPLATE"),),
    actions=(delete("one.group.delete", applies=lambda item: item.oid > 1),),
    create=Creation(
        N_("Create group"),
        Form(fields=(Field("name", N_("Name"), required=True, rule="name"),)),
        lambda answers: Call("one.group.allocate", (answers["name"],)),
    ),
    empty=N_("No groups that you may see."),
)
