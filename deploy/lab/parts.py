"""The parts of a lab: each server's settings and command line. Pure, but for finding the programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from deploy.lab import programs
from deploy.lab.addresses import Addresses, FrontendAddresses
from deploy.lab.definition import Definition
from deploy.lab.folders import LabFolder
from deploy.lab.topology import (
    ConfigFile,
    HttpProbe,
    MariaDbProbe,
    MemcachedProbe,
    Preparation,
    Process,
    Topology,
)

DATABASE = "opennebula"
CACHE_MEMORY_MB = 64
WRITTEN_BY = "# Written by `onelite` at every start; changes made here do not last.\n"


def build(definition: Definition, folder: LabFolder, database_password: str) -> Topology:
    """All processes of the lab. LabError if a program it needs is missing."""
    addresses = definition.addresses
    numbers = range(1, definition.frontends + 1)
    databases = [mariadb(folder, n, database_password) for n in numbers] if definition.db == "mariadb" else []
    return Topology(
        (
            *databases,
            memcached(addresses) if definition.cache == "memcached" else builtin_cache(folder, addresses),
            *(oned(folder, definition, number) for number in numbers),
            *(sunstone(folder, addresses, number) for number in numbers),
            balancer(folder, definition),
        )
    )


def endpoint(frontend: FrontendAddresses) -> str:
    """A frontend's XML-RPC URL."""
    return f"http://{frontend.oned}/RPC2"


def oned(folder: LabFolder, definition: Definition, number: int) -> Process:
    """The control daemon of frontend `number`."""
    name, here = f"oned{number}", definition.addresses.frontends[number - 1]
    settings = {
        "listen": str(here.oned),
        "data": str(folder.data(name)),
        "datastores": str(folder.datastores),
        "credentials": str(folder.credentials),
        "database": _database(folder, definition, number),
        "cluster": {
            "server_id": number - 1,
            "peer_listen": str(here.peer),
            "servers": [
                {"id": place, "name": f"frontend{place + 1}", "endpoint": endpoint(each), "peer": str(each.peer)}
                for place, each in enumerate(definition.addresses.frontends)
            ],
        },
        "scheduler": True,
    }
    return Process(
        name=name,
        argv=(*programs.ours("oned-lite"), "--config", str(folder.config(name))),
        probe=HttpProbe(here.oned),
        ports=(here.oned, here.peer),
        machine=f"frontend{number}",
        files=(_yaml(folder, name, settings),),
        folders=(folder.data(name),),
        needs=(f"mariadb{number}",) if definition.db == "mariadb" else (),
    )


def sunstone(folder: LabFolder, addresses: Addresses, number: int) -> Process:
    """The web UI of frontend `number`: its own oned first, then the others."""
    name, here = f"sunstone{number}", addresses.frontends[number - 1]
    others = [each for each in addresses.frontends if each is not here]
    settings = {
        "listen": str(here.sunstone),
        "name": f"frontend{number}",
        "oned": [endpoint(each) for each in (here, *others)],
        "cache": [str(addresses.cache)],
        "server_credentials": str(folder.ui_credentials),
    }
    return Process(
        name=name,
        argv=(*programs.ours("sunstone-lite"), "--config", str(folder.config(name))),
        probe=HttpProbe(here.sunstone),
        ports=(here.sunstone,),
        machine=f"frontend{number}",
        files=(_yaml(folder, name, settings),),
    )


def balancer(folder: LabFolder, definition: Definition) -> Process:
    """The study's Figure 3: least connections and passive checks; active ones beside them where they are wanted.

    The active check asks whether a web UI answers, not whether it is well: one that cannot serve has a page that says why.
    """
    addresses = definition.addresses
    upstream: dict[str, object] = {
        "method": "least_conn",
        "servers": [
            {"address": str(each.sunstone), "max_fails": 3, "fail_timeout_s": 10} for each in addresses.frontends
        ],
    }
    if definition.checks == "both":
        upstream["health_check"] = {
            "interval_s": 1,
            "timeout_s": 1,
            "fails": 2,
            "uri": "/healthz",
            "status": ["200-503"],
        }
    settings = {
        "listen": str(addresses.balancer),
        "status": str(addresses.balancer_status),
        "pid_file": str(folder.own_pid_file("balancer")),
        "upstreams": {"sunstone": upstream},
        "locations": [
            {
                "path": "/",
                "upstream": "sunstone",
                "set_headers": {"Host": "$http_host", "X-Real-IP": "$remote_addr"},
                "connect_timeout_s": 1,
            }
        ],
    }
    return Process(
        name="balancer",
        argv=(*programs.ours("balancer-lite"), "--config", str(folder.config("balancer"))),
        probe=HttpProbe(addresses.balancer_status),
        ports=(addresses.balancer, addresses.balancer_status),
        files=(_yaml(folder, "balancer", settings),),
        own_pid_file=folder.own_pid_file("balancer"),
    )


def builtin_cache(folder: LabFolder, addresses: Addresses) -> Process:
    """Our own cache server."""
    settings = {
        "listen": str(addresses.cache),
        "status": str(addresses.cache_status),
        "memory_mb": CACHE_MEMORY_MB,
    }
    return Process(
        name="cache",
        argv=(*programs.ours("cache-lite"), "--config", str(folder.config("cache"))),
        probe=MemcachedProbe(addresses.cache),
        ports=(addresses.cache, addresses.cache_status),
        files=(_yaml(folder, "cache", settings),),
    )


def memcached(addresses: Addresses) -> Process:
    """The real memcached; started by root it becomes nobody, as it refuses to be root."""
    host, port = addresses.cache
    as_whom = ("-u", "nobody") if os.getuid() == 0 else ()
    bounds = ("-m", str(CACHE_MEMORY_MB), "-c", "1024")
    return Process(
        name="cache",
        argv=(programs.find("memcached"), *as_whom, "-l", host, "-p", str(port), "-U", "0", *bounds),
        probe=MemcachedProbe(addresses.cache),
        ports=(addresses.cache,),
    )


def mariadb(folder: LabFolder, number: int, password: str) -> Process:
    """One frontend's own MariaDB: durable, small, reached through its socket only."""
    name = f"mariadb{number}"
    config, first_words = folder.config(name, "cnf"), folder.config(name, "sql")
    root = "--user=root" if os.getuid() == 0 else ""
    install = (
        programs.find("mariadb-install-db"),
        f"--defaults-file={config}",
        "--auth-root-authentication-method=socket",
        "--skip-test-db",
    )
    return Process(
        name=name,
        argv=(programs.find("mariadbd"), f"--defaults-file={config}", *filter(None, (root,))),
        probe=MariaDbProbe(folder.socket(name)),
        machine=f"frontend{number}",
        files=(
            ConfigFile(config, _mariadb_settings(folder, name, first_words)),
            ConfigFile(first_words, _mariadb_first_words(password), secret=True),
        ),
        folders=(_temporaries(folder, name),),
        preparation=Preparation((*install, *filter(None, (root,))), folder.data(name)),
        stop_within_s=30.0,
    )


def _temporaries(folder: LabFolder, name: str) -> Path:
    """Each server needs its own: at its start it removes whatever temporary tables it finds, other servers' too."""
    return folder.data(f"{name}.tmp")


def _mariadb_settings(folder: LabFolder, name: str, first_words: Path) -> str:
    return f"""{WRITTEN_BY}[mariadbd]
datadir = {folder.data(name)}
tmpdir = {_temporaries(folder, name)}
socket = {folder.socket(name)}
pid-file = {folder.data(name)}/mariadbd.pid
init-file = {first_words}
skip-networking
skip-name-resolve
innodb_flush_log_at_trx_commit = 1
innodb_buffer_pool_size = 32M
innodb_log_file_size = 16M
key_buffer_size = 1M
aria_pagecache_buffer_size = 1M
performance_schema = off
max_connections = 50
max_allowed_packet = 64M
character-set-server = utf8mb4
collation-server = utf8mb4_bin
"""


def _mariadb_first_words(password: str) -> str:
    """Run at each start before the first client is let in; says the same every time."""
    account = "'oneadmin'@'localhost'"
    return (
        f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n"
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{password}';\n"
        f"ALTER USER {account} IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON {DATABASE}.* TO {account};\n"
    )


def _database(folder: LabFolder, definition: Definition, number: int) -> dict[str, str]:
    if definition.db == "sqlite":
        return {"kind": "sqlite"}
    return {
        "kind": "mariadb",
        "socket": str(folder.socket(f"mariadb{number}")),
        "user": "oneadmin",
        "password_file": str(folder.database_password),
        "name": DATABASE,
    }


def _yaml(folder: LabFolder, name: str, settings: Mapping[str, object]) -> ConfigFile:
    return ConfigFile(folder.config(name), WRITTEN_BY + yaml.safe_dump(dict(settings), sort_keys=False))
