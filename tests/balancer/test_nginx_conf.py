"""nginx.conf as a configuration: every directive of the table where it says, and sites as people write them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from services.balancer.config import read_plan
from services.balancer.nginx.table import ROWS, Row
from tests.balancer.test_settings import problems
from tests.support.ports import free_port
from tests.support.programs import real_part

PLACES = {
    "main": "{line} events {{}} http {{ {http} {server} }}",
    "events": "events {{ {line} }} http {{ {http} {server} }}",
    "http": "events {{}} http {{ {http} {line} {server} }}",
    "upstream": "events {{}} http {{ {http} upstream other {{ server 127.0.0.1:2; {line} }} {server} }}",
    "server": "events {{}} http {{ {http} server {{ {listen} {line} {page} {proxied} }} }}",
    "location": "events {{}} http {{ {http} server {{ {listen} location {x} {{ {before} {line} }} {page} }} {server} }}",
    "limit_except": "events {{}} http {{ {http} server {{ {listen} location / {{ limit_except GET {{ {line} }} }} }} }}",
    "if": "events {{}} http {{ {http} server {{ {listen} if ($http_a) {{ {line} }} {proxied} }} }}",
    "match": "events {{}} http {{ {http} match good {{ {line} }} {server} }}",
}
HTTP = """
  upstream app { server 127.0.0.1:2; }
  log_format main '$status';
  limit_conn_zone $binary_remote_addr zone=per_client:1m;
  limit_req_zone $binary_remote_addr zone=rates:1m rate=10r/s;
"""
PAGE = "location = /50x.html { return 200 sorry; }"
PROXIED = "location /p { proxy_pass http://app; }"
INSIDE = {
    "upstream": "server 127.0.0.1:3;", "server": "listen 127.0.0.1:PORT; return 204;", "location": "return 204;",
    "limit_except": "deny all;", "if": "return 403;", "match": "", "types": "",
}  # fmt: skip
PAIRS = {
    "ssl_certificate": "ssl_certificate_key {folder}/one.example.key;",
    "ssl_certificate_key": "ssl_certificate {folder}/one.example.pem;",
    "proxy_ssl_certificate": "proxy_ssl_certificate_key {folder}/one.example.key;",
    "proxy_ssl_certificate_key": "proxy_ssl_certificate {folder}/one.example.pem;",
}
CERTIFICATES = {"site": "one.example", "client": "one.example", "ca": "one.example", "chain": "one.example"}
ANSWERING = ("proxy_pass", "return", "root", "api", "location", "stub_status")
CASES = [(row, place) for row in ROWS for place in row.where if row.name not in ("http", "events", "include")]


def written(row: Row, place: str, folder: Path) -> str:
    """A whole nginx.conf around the example of a row."""
    example = row.example
    for folder_there in ("/etc/ssl/", "/var/log/nginx/", "/tmp/", "/usr/share/nginx/html"):
        example = example.replace(folder_there, "{folder}/")
    for name, ours in CERTIFICATES.items():
        example = example.replace(f"/{name}.", f"/{ours}.")
    line = f"{row.name} {example}" + ("" if example.endswith("}") else ";")
    line = line.replace("…", INSIDE.get(row.name, ""))
    listen = "listen 127.0.0.1:PORT;"
    if row.name == "listen":
        listen, line = PAIRS["ssl_certificate"] + PAIRS["ssl_certificate_key"], line.replace("443", "127.0.0.1:PORT")
    http = HTTP + ("match ok { status 200; }" if row.name == "health_check" else "")
    text = PLACES[place].format(
        line=line + PAIRS.get(row.name, ""), http=http, listen=listen, proxied=PROXIED,
        x="= /x" if row.name == "root" else "/x",
        page="" if row.name == "api" else PAGE,
        before="" if row.name in ANSWERING else "proxy_pass http://app;",
        server=f"server {{ listen 127.0.0.1:PORT; {PAGE} {PROXIED} }}",
    )  # fmt: skip
    return text.replace("{folder}", str(folder)).replace("PORT", str(free_port()))


@pytest.mark.parametrize("place", PLACES)
def test_every_directive_is_accepted_where_the_table_says(place: str, certificates: Path) -> None:
    (certificates / "x").write_text("a file")
    path = certificates / f"{place}.conf"
    for row in [row for row, where in CASES if where == place]:
        path.write_text(written(row, place, certificates))
        read_plan(path)


@pytest.mark.parametrize("place", [place for place in PLACES if place not in ("main", "match")])
def test_the_real_nginx_accepts_the_same_examples(place: str, certificates: Path) -> None:
    path = certificates / f"{place}-nginx.conf"
    for row in [row for row, where in CASES if where == place and not row.since]:
        text = written(row, place, certificates)
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            if f"{name}_temp_path" not in text:
                text = text.replace("http {", f"http {{ {name}_temp_path {certificates}/{name};", 1)
        path.write_text(f"pid {certificates}/pid; error_log {certificates}/error.log; " + text)
        assert not (said := refusal(path)), (row.name, said, text)


def refusal(path: Path) -> str:
    """What the real nginx says against a file, or nothing."""
    command = [real_part("nginx", package="nginx-light"), "-t", "-e", f"{path}.log", "-c", str(path)]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return tried.stderr if tried.returncode else ""


LIKE_THE_STUDY = """
worker_processes auto;
events { worker_connections 1024; }
http {
  upstream sunstone {
    least_conn;
    server 127.0.0.1:9861 max_fails=3 fail_timeout=10s;
    server 127.0.0.1:9862 max_fails=3 fail_timeout=10s;
    server 127.0.0.1:9863 max_fails=3 fail_timeout=10s;
  }
  server {
    listen 127.0.0.1:PORT;
    location / {
      proxy_pass http://sunstone;
      proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_next_upstream error timeout http_502 http_503;
    }
  }
}
"""
A_FRONTEND = r"""
user www-data;
worker_processes auto;
pid FOLDER/pid;
events { worker_connections 768; use epoll; multi_accept on; }
http {
  sendfile on; tcp_nopush on; types_hash_max_size 2048; server_tokens off;
  default_type application/octet-stream;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on;
  log_format balanced '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                      '"$http_referer" "$http_user_agent" $request_time $upstream_addr $upstream_response_time';
  access_log FOLDER/access.log balanced;
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  limit_conn_zone $binary_remote_addr zone=clients:10m;
  upstream sunstone {
    least_conn; zone sunstone 64k; keepalive 16;
    server 127.0.0.1:9861 max_fails=3 fail_timeout=10s max_conns=200;
    server 127.0.0.1:9862 weight=2;
    server 127.0.0.1:9863 backup;
  }
  upstream fireedge { ip_hash; server 127.0.0.1:2616; server 127.0.0.1:2617 down; }
  server { listen 127.0.0.1:PORT default_server; server_name _; return 301 https://$host$request_uri; }
  server {
    listen 127.0.0.1:SECOND ssl; server_name one.example www.one.example;
    ssl_certificate FOLDER/one.example.pem; ssl_certificate_key FOLDER/one.example.key;
    ssl_session_cache shared:SSL:10m; ssl_session_timeout 1d; ssl_stapling on; ssl_stapling_verify on;
    add_header Strict-Transport-Security "max-age=63072000" always;
    client_max_body_size 1G; client_body_timeout 30s; keepalive_timeout 65;
    limit_conn clients 50; limit_conn_status 429;
    error_page 502 503 504 /sorry;
    location = /sorry { internal; default_type text/html; return 503 "<h1>Back soon</h1>"; }
    location = /healthz { access_log off; return 200 "ok\n"; }
    location ~ /\. { deny all; return 404; }
    location / {
      proxy_pass http://sunstone;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_redirect off; proxy_buffering off; proxy_cache off; log_not_found off;
      proxy_connect_timeout 2s; proxy_read_timeout 120s;
      proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 2; proxy_next_upstream_timeout 10s;
    }
    location /fireedge/ {
      proxy_pass http://fireedge;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }
    location /metrics { allow 127.0.0.0/8; deny all; proxy_pass http://sunstone; }
  }
}
"""
AN_API = r"""
events { }
http {
  upstream api { hash $arg_user consistent; server 127.0.0.1:9001; server 127.0.0.1:9002; }
  server {
    listen 127.0.0.1:PORT; server_name ~^(?<tenant>[a-z]+)\.api\.example$ api.example;
    if ($request_method !~ ^(GET|POST|PUT|DELETE)$) { return 405; }
    if ($http_user_agent ~* (curl|wget)) { return 403; }
    rewrite ^/old/(.*)$ /v2/$1 permanent;
    location /v1/ { rewrite ^/v1/(.*)$ /$1 break; proxy_pass http://api; proxy_set_header X-Tenant $tenant; }
    location ~ ^/users/(\d+)/ { proxy_pass http://api/people/$1$is_args$args; }
    location / {
      set $flavour plain;
      proxy_pass https://api2; proxy_ssl_server_name on; proxy_ssl_name api.example;
      proxy_hide_header X-Powered-By; proxy_ignore_client_abort on; proxy_intercept_errors on;
      proxy_redirect ~^https?://[^/]+(/.*)$ $1; proxy_cookie_path / /app/;
      proxy_cookie_domain inside.example outside.example;
      add_header X-Flavour $flavour;
    }
  }
  upstream api2 { random two least_conn; server 127.0.0.1:9003; server 127.0.0.1:9004; }
}
"""
A_SHOP = r"""
events { worker_connections 1024; }
http {
  gzip on; gzip_types text/css application/json application/javascript; gzip_min_length 1000; gzip_comp_level 5;
  gzip_vary on; gzip_proxied any; gzip_disable "msie6"; gzip_buffers 16 8k; gzip_http_version 1.1;
  limit_req_zone $binary_remote_addr zone=perip:10m rate=20r/s;
  limit_req_zone $http_authorization zone=logins:1m rate=30r/m;
  upstream shop { server unix:FOLDER/shop.sock fail_timeout=0; server 127.0.0.1:9001 backup; keepalive 8; }
  upstream static { server 127.0.0.1:9002; }
  server {
    listen 127.0.0.1:PORT; listen unix:FOLDER/listen.sock; server_name shop.example;
    set $maintenance 0;
    if ($http_x_maintenance) { set $maintenance 1; }
    if ($remote_addr = 127.0.0.1) { set $maintenance "${maintenance}1"; }
    if ($maintenance = 11) { return 503; }
    rewrite ^/index\.php/(.*)$ /$1 last;
    error_page 404 /errors/404; error_page 500 502 504 = @fallback; error_page 503 @maintenance;
    recursive_error_pages on;
    limit_req zone=perip burst=40 delay=20; limit_req_status 429; limit_req_log_level warn;
    location / { proxy_pass http://shop; proxy_intercept_errors on; proxy_set_header X-Real-IP $remote_addr; }
    location /login { limit_req zone=logins burst=5 nodelay; limit_req_dry_run on; proxy_pass http://shop; }
    location ~* \.(css|js)$ { rewrite ^/assets/(.*)$ /$1?v=1 break; proxy_pass http://static; }
    location /legacy { if ($arg_id ~ ^(\d+)$) { set $id $1; rewrite ^ /item/$id? last; } break; return 410; }
    location /sock/ { proxy_pass http://unix:FOLDER/other.sock:/api/; allow unix:; deny all; }
    location /errors/ { internal; proxy_pass http://static; }
    location @fallback { proxy_pass http://static; add_header X-Fallback 1 always; }
    location @maintenance { default_type text/html; return 503 "<h1>Back soon</h1>"; }
  }
}
"""


DEBIAN = r"""
worker_processes auto;
pid FOLDER/pid;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 768; }
http {
  sendfile on; tcp_nopush on; types_hash_max_size 2048;
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
  ssl_prefer_server_ciphers on;
  access_log FOLDER/access.log; error_log FOLDER/error.log;
  gzip on;
  include FOLDER/conf.d/*.conf;
  include FOLDER/sites-enabled/*;
}
"""
ENABLED = r"""
upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; }
server {
  listen 127.0.0.1:PORT default_server; listen [::1]:PORT default_server;
  root FOLDER; index index.html index.nginx-debian.html; server_name _;
  location / { include /etc/nginx/proxy_params; proxy_pass http://app; }
  location ~ /\.ht { deny all; }
  location = /one.example.pem { access_log off; log_not_found off; }
}
"""
SUNSTONE = r"""
events { }
http {
  upstream fireedge { ip_hash; server 127.0.0.1:2616 max_fails=3 fail_timeout=30s; server 127.0.0.1:2617 max_fails=3; }
  upstream sunstone { least_conn; server 127.0.0.1:9869; server 127.0.0.1:9870; keepalive 16; }
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  log_format json escape=json '{"host": "$hostname", "pid": $pid, "uri": "$request_uri", "user": "$remote_user"}';
  server { listen 127.0.0.1:PORT; server_name one.example; return 301 https://$server_name:SECOND$request_uri; }
  server {
    listen 127.0.0.1:SECOND ssl http2; server_name one.example; server_tokens off; charset utf-8;
    ssl_certificate FOLDER/one.example.pem; ssl_certificate_key FOLDER/one.example.key;
    ssl_session_timeout 1d; ssl_session_cache shared:MozSSL:10m; ssl_session_tickets off;
    ssl_dhparam FOLDER/dhparam.pem; ssl_ecdh_curve X25519:prime256v1; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256; ssl_prefer_server_ciphers off;
    ssl_stapling on; ssl_stapling_verify on; ssl_trusted_certificate FOLDER/one.example.pem; resolver 127.0.0.1;
    add_header Strict-Transport-Security "max-age=63072000" always; add_header X-Frame-Options SAMEORIGIN;
    access_log FOLDER/access.log json; port_in_redirect off; satisfy all; auth_basic off; expires off; limit_rate 0;
    client_max_body_size 10G; proxy_buffering off; proxy_request_buffering off; proxy_cache off;
    proxy_cache_bypass $http_upgrade;
    location / { proxy_pass http://sunstone; proxy_set_header Host $http_host; proxy_redirect off; }
    location /fireedge/ {
      proxy_pass http://fireedge; proxy_http_version 1.1; proxy_read_timeout 3600s;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }
    location /readonly { limit_except GET { allow 10.0.0.0/8; deny all; } proxy_pass http://sunstone; }
    location /nginx_status { stub_status; access_log off; allow 127.0.0.1; deny all; }
  }
}
"""


@pytest.mark.parametrize("site", [LIKE_THE_STUDY, A_FRONTEND, AN_API, A_SHOP, DEBIAN, SUNSTONE],
                         ids=["study", "frontend", "api", "shop", "debian", "sunstone"])  # fmt: skip
def test_sites_as_people_write_them(site: str, certificates: Path) -> None:
    path = certificates / "site.conf"
    enabled = certificates / "sites-enabled" / "app"
    enabled.parent.mkdir(exist_ok=True)
    ports = str(free_port()), str(free_port())
    for file, text in ((path, site), (enabled, ENABLED)):
        file.write_text(text.replace("FOLDER", str(certificates)).replace("PORT", ports[0]).replace("SECOND", ports[1]))
    assert not refusal(path)
    read_plan(path)


ALL_OF_IT_WRONG = """
events { worker_connections many; debug_connection 1.2.3.4; }
http {
  limit_req_zone $binary_remote_addr zone=z:1m rate=1r/h;
  match ok { status 2xx; header; require x; }
  upstream app { server unix:x.sock; server 127.0.0.1:1 route=a; ntlm; random three; }
  server {
    listen 127.0.0.1:1 quic; listen unix:y.sock; listen 127.0.0.1:3 ssl;
    gzip_comp_level 11; client_header_timeout 5s; ssl_protocols SSLv3;
    if (-f $request_filename) { return 404; }
    rewrite ^/a /b lost;
    error_page 502 @nowhere;
    location @named { proxy_pass http://app/uri; }
    location /a { proxy_pass http://$backend; health_check match=absent type=grpc; try_files $uri =404; }
    location ~ ( { return 200; }
    location /c { proxy_pass http://app; proxy_ssl_verify on; limit_conn none 3; proxy_cookie_path ~x y; allow 10/8; }
    location /d { proxy_pass https://app; proxy_set_header X $nope; proxy_read_timeout soon; access_log syslog:server=x; }
    location /e { root /nowhere; limit_req zone=none; }
    location /f { }
    location /g { proxy_pas http://app; limit_except GET { return 403; } }
  }
  server { listen 127.0.0.1:2; lingering_close maybe; location / { proxy_http_version 2; proxy_pass http://app; } }
}
"""


def test_every_problem_is_named_with_its_line_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path / "site.conf", ALL_OF_IT_WRONG)
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)
    assert lines == [2, 2, 4, 5, 5, 5, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 11, 12, 13, 14, 14, 15, 16, 16, 16, 17, 17, 17, 17,
                     18, 18, 19, 20, 20, 22, 22]  # fmt: skip
    assert "is it proxy_pass?" in found[-3]


PLUS = """
events {}
http {
  upstream app { zone app 64k; server app.example resolve slow_start=30s; server 127.0.0.1:2 drain; queue 10 timeout=5s; }
  match ok { status 200; body ~ "Welcome"; }
  server { listen 127.0.0.1:8081; location /api { api; } }
  server { listen 127.0.0.1:1; status_zone site; location / { proxy_pass http://app; health_check match=ok type=http; } }
}
"""


def test_a_site_of_nginx_plus(tmp_path: Path) -> None:
    path = tmp_path / "site.conf"
    path.write_text(PLUS)
    assert read_plan(path).settings.status == "127.0.0.1:8081"


WORDS_WRONG = """
events {}
http {
  proxy_next_upstream error http_503 http_505;
  upstream app { server 10.0.0.1:99999; server 10.0.0.1; server 10.0.0.1:80 weight=0 max_fails=x fail_timeout=ten; }
  upstream app { server 10.0.0.2; }
  server {
    listen hello:x:y; listen 127.0.0.1:444 ssl; ssl_certificate missing.pem; ssl_certificate_key FILE;
    location / { proxy_pass http://app; proxy_http_version 2.0; proxy_set_header "A b" x; }
    location ^~ / { proxy_pass https://other; proxy_ssl_trusted_certificate missing.pem; }
    location x { client_max_body_size 10MB; return 200; }
  }
}
"""


WRONG = ("http_505", "99999", "weight", "max_fails", "'ten'", "already", "named app", "missing.pem", "'2.0'", "'A b'",
         "/ already", "missing.pem", "'x'", "'10MB'")  # fmt: skip


def test_words_that_are_wrong_are_named_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    found = problems(tmp_path / "site.conf", WORDS_WRONG.replace("FILE", "key"))
    told = [(int(line.split(":")[1]), line.split(": ")[1], word in line) for line, word in zip(found, WRONG, strict=True)]
    assert told == [
        (line, directive, True) for line, directive in (
            (4, "proxy_next_upstream"), *[(5, "server")] * 5, (6, "upstream"), (8, "ssl_certificate"),
            (9, "proxy_http_version"), (9, "proxy_set_header"), (10, "location"), (10, "proxy_ssl_trusted_certificate"),
            (11, "location"), (11, "client_max_body_size"),
        )
    ]  # fmt: skip


def test_problems_behind_a_block_that_is_not_one_are_not_told(tmp_path: Path) -> None:
    text = "events {}\nhttp {\nmap $x { a b; }\nserver { listen 127.0.0.1:1; return 200; }\n}\n"
    first, *more = problems(tmp_path / "site.conf", text)
    assert "site.conf:3" in first and "what comes behind it" in first
    assert all("site.conf:3" in line for line in more)


def test_problems_are_found_where_they_stand_around_included_files(tmp_path: Path) -> None:
    (tmp_path / "first.inc").write_text("\n\nproxy_buffring off;\n")
    text = "events {}\nhttp {\ninclude first.inc;\nproxi_buffering on;\nserver { listen 127.0.0.1:1; return 200; }\n}"
    found = problems(tmp_path / "site.conf", text)
    assert [line.rpartition("/")[2].split(": ")[0] for line in found] == ["first.inc:3", "site.conf:4"]
    assert all("is it proxy_buffering?" in line for line in found)


RULED_WRONG = """
events {}
http {
  server {
    listen 127.0.0.1:1; set $host x; set y z; if ($http_a) { add_header X y; }
    location /a { if ($http_a) { set $limit_rate 1k; proxy_pass http://127.0.0.1:2; } set $is_args ""; return 200; }
    location /b { if (-d /x) { break; } if ($http_a ~ "(") { break; } error_page 404 = nowhere; return 200; }
    location @c { set $x $unknown; return 200; }
  }
}
"""


def test_rules_that_cannot_be_followed_are_named_with_their_lines(tmp_path: Path) -> None:
    found = problems(tmp_path / "site.conf", RULED_WRONG)
    assert [line.split(": ")[0] for line in found] == [f"site.conf:{line}" for line in (5, 5, 5, 6, 6, 6, 7, 7, 7, 8)]
    for line, word in zip(found, ("add_header", "$host", "$NAME", "rate", "proxy_pass", "$is_args", "@name", "-d /x", "'('",
                                  "$unknown"), strict=True):  # fmt: skip
        assert word in line


CHECKED = """
events {}
http {
  match well {
    status 200-299 304; header Content-Type ~ json; header ! X-Broken; header X-Mode != test; body ~ '"ok": *true';
  }
  match ill { status ! 500-599; body !~ maintenance; }
  upstream app { server 127.0.0.1:2; server 127.0.0.1:3 drain; state FOLDER/state.json; }
  server { listen 127.0.0.1:8081; location /api { api write=on; } }
  server {
    listen 127.0.0.1:1;
    location / {
      proxy_pass http://app; proxy_read_timeout 2s;
      health_check interval=3s jitter=1s fails=2 passes=3 uri=/ready port=99 match=well mandatory persistent;
      health_check match=ill;
    }
  }
}
"""


def test_checks_and_their_conditions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "site.conf"
    path.write_text(CHECKED.replace("FOLDER", str(tmp_path)))
    plan = read_plan(path)
    assert (plan.settings.status, plan.settings.status_allows_changes) == ("127.0.0.1:8081", True)
    assert plan.settings.state_file == f"{tmp_path}/state.json"
    assert list(plan.listeners) == ["127.0.0.1:1"]
    assert [server.drain for server in plan.groups["app"].servers] == [False, True]
    well, ill = plan.groups["app"].checks
    assert (well.interval_s, well.jitter_s, well.fails, well.passes, well.uri, well.port) == (3, 1, 2, 3, "/ready", 99)
    assert well.mandatory and well.persistent and well.timeout_s == ill.timeout_s == 2
    good = {"content-type": "application/json", "x-mode": "live"}
    assert not well.match.complaint(304, good, b'{\n"ok":  true}')
    for status, headers, body in (
        (500, good, b'"ok": true'),
        (200, {**good, "content-type": "text/html"}, b'"ok": true'),
        (200, {**good, "x-broken": ""}, b'"ok": true'),
        (200, {**good, "x-mode": "test"}, b'"ok": true'),
        (200, good, b'"ok": false'),
    ):
        assert well.match.complaint(status, headers, body)
    assert not ill.match.complaint(404, {}, b"")
    assert ill.match.complaint(503, {}, b"") and ill.match.complaint(200, {}, b"in maintenance")


def test_one_server_listens_with_and_without_tls(certificates: Path) -> None:
    path = certificates / "mixed.conf"
    path.write_text(
        "events {} http { server { listen 127.0.0.1:80; listen 127.0.0.1:443 ssl; location / { return 200 $scheme; } "
        f"ssl_certificate {certificates}/one.example.pem; ssl_certificate_key {certificates}/one.example.key; }} }}"
    )
    listeners = read_plan(path).listeners
    assert {address: bool(listener.tls) for address, listener in listeners.items()} == {
        "127.0.0.1:80": False,
        "127.0.0.1:443": True,
    }
