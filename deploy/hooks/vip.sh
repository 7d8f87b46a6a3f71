#!/bin/sh
# Moves virtual addresses to this machine while its oned-lite leads the zone, and away when it does not.
#
#   raft:
#     leader_hook: [/opt/onelite/deploy/hooks/vip.sh, leader, eth0, 10.0.0.100/24]
#     follower_hook: [/opt/onelite/deploy/hooks/vip.sh, follower, eth0, 10.0.0.100/24]
#
# vip.sh leader|follower INTERFACE ADDRESS/PREFIX [INTERFACE ADDRESS/PREFIX ...] TERM
#
# TERM, which oned-lite adds, is the fencing token: a call with an older term than the last one that was obeyed changes
# nothing. Calls take their turns by a lock. Where the user may not change addresses, `sudo -n` is used. VIP_STATE is the
# folder of lock and term, by default /run/lock/onelite-vip.
set -eu

fail() {
    echo "vip.sh: $*" >&2
    exit 1
}

usage="usage: vip.sh leader|follower INTERFACE ADDRESS/PREFIX [INTERFACE ADDRESS/PREFIX ...] TERM"

# CAP_NET_ADMIN, bit 12 of what a process may do, will do in place of root.
may_change_addresses() {
    [ "$(id -u)" -eq 0 ] || [ $((0x$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status) >> 12 & 1)) -eq 1 ]
}

as_root() {
    if may_change_addresses; then "$@"; else sudo -n "$@"; fi
}

is_here() {
    ip -oneline address show dev "$1" | grep -qwF -- "$2"
}

# Tells the neighbours where the address is now: at once, and once more for those that missed it.
announce() {
    command -v arping >/dev/null || return 0
    case $2 in *:*) return 0 ;; esac
    as_root arping -q -c 1 -w 1 -U -I "$1" "${2%/*}" || true
    as_root arping -q -c 1 -w 1 -A -I "$1" "${2%/*}" || true
}

take() {
    if ! is_here "$1" "$2"; then
        as_root ip address add "$2" dev "$1"
    fi
    announce "$1" "$2"
}

give_up() {
    if is_here "$1" "$2"; then
        as_root ip address del "$2" dev "$1"
    fi
}

[ $# -ge 4 ] && [ $(($# % 2)) -eq 0 ] || fail "$usage"
case $1 in
leader) move=take ;;
follower) move=give_up ;;
*) fail "$usage" ;;
esac
shift

for term; do :; done # the last argument
case $term in
'' | *[!0-9]*) fail "the last argument must be the term, a number, not '$term'" ;;
esac

state=${VIP_STATE:-/run/lock/onelite-vip}
mkdir -p "$state"
exec 9>"$state/lock"
flock -w 20 9 || fail "another call does not come to an end"
seen=$(cat "$state/term" 2>/dev/null || echo 0)
[ "$term" -ge "$seen" ] || fail "term $term is over, term $seen has begun: nothing is changed"
echo "$term" >"$state/term.new"
mv "$state/term.new" "$state/term"

while [ $# -gt 1 ]; do
    $move "$1" "$2"
    shift 2
done
