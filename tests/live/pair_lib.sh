# Sourced after lib.sh, in place of its network: two routers, each with files of its own beneath /run, between two
# switches. Their addresses are those of deploy/scale.
#
#   client 10.1.0.2 - lan: 10.1.0.251 and .252 - wan: 10.2.0.251 and .252 - server 10.2.0.2
#   a cable between the routers: sync, 192.0.2.1 and .2
# shellcheck shell=bash disable=SC2034,SC2154  # variables for the tests, and of lib.sh

other=fettle$$-other
switch=fettle$$-switch
spaces+=("$other" "$switch")
routers=("$router" "$other")
place=()

build_network() {
  local ns i
  for ns in "${spaces[@]}"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
  done
  for ns in lan wan; do ip -n "$switch" link add $ns type bridge && ip -n "$switch" link set $ns up; done
  plug "$client" eth0 lan client 10.1.0.2/24
  plug "$server" eth0 wan server $server_address4/24
  ip -n "$client" route add default via 10.1.0.1
  for i in 0 1; do
    ns=${routers[i]}
    plug "$ns" lan lan "lan$i" "10.1.0.25$((i + 1))/24"
    plug "$ns" wan wan "wan$i" "10.2.0.25$((i + 1))/24"
    ip netns exec "$ns" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
  done
  ip link add sync netns "$router" type veth peer name sync netns "$other"
  for i in 0 1; do
    ip -n "${routers[i]}" addr add "192.0.2.$((i + 1))/24" dev sync
    ip -n "${routers[i]}" link set sync up
  done
}

plug() {  # namespace device switch port address
  ip link add "$2" netns "$1" type veth peer name "$4" netns "$switch"
  ip -n "$1" addr add "$5" dev "$2"
  ip -n "$1" link set "$2" up
  ip -n "$switch" link set "$4" master "$3" up
}

# Each router's files: /run, and what lies there by another name.
places_begin() {
  local i
  for i in 0 1; do
    start "place$i" "${routers[i]}" unshare --mount --propagation private sh -c \
      'mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/lock && echo up && exec sleep infinity'
    place[i]=$started
    wait_for 5 log_has "place$i" '^up$' || skip "no mount namespace: $(cat "$work/place$i.log")"
    on "$i" cp "$fettle" /run/fettle-program
  done
}

on() {  # router command...
  nsenter --target "${place[$1]}" --mount --net -- "${@:2}"
}

start_on() {  # name router command...: as lib.sh's start
  : >"$work/$1.log"
  nsenter --target "${place[$2]}" --mount --net -- "${@:3}" >>"$work/$1.log" 2>&1 &
  started=$!
  pids+=("$started")
}

# As if its plugs were pulled.
cut_off() {  # router
  local port
  for port in "lan$1" "wan$1"; do ip -n "$switch" link set "$port" down; done
  ip -n "${routers[$1]}" link set sync down
}

plugged_in() {  # router
  local port
  ip -n "${routers[$1]}" link set sync up
  for port in "lan$1" "wan$1"; do ip -n "$switch" link set "$port" up; done
}

has_address() { ip -n "${routers[$1]}" -brief address show dev "$2" | grep -qw "$3"; }  # router device address
is_master() { has_address "$1" lan 10.1.0.1/24 && has_address "$1" wan 10.2.0.1/24; }  # router

milliseconds() { printf '%d\n' $(($(date +%s%N) / 1000000)); }
