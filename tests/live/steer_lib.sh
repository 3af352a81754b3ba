# For the tests of fettle steer, with whose firewall's rules `tool` says.
recipes="$live_dir/../../deploy/recipes"
"$python" -c 'import scapy, tomllib' 2>/dev/null || skip "needs python3-scapy and a Python with tomllib"
command -v tcpreplay >/dev/null || skip "tcpreplay is not there: deploy/install-dependencies --tests"
packets() { "$python" "$live_dir/recipe_packets.py" "$@"; }
says() { tr ' ' '\n' <<<"$1" | sed -n "s/^$2=//p"; }

# All that the router forwards goes to the server's side, whatever its address.
in_router ip route add default via $server_address4
in_router ip -6 route add default via $server_address6
in_router sysctl -qw net.ipv4.conf.all.accept_local=1 net.ipv4.conf.lan.rp_filter=0

saved_rules() { # of everything but counters, and tables without a rule
  for save in iptables-save ip6tables-save; do
    in_router $save | grep -v '^#\|^COMMIT\|^\*\|^:[A-Z]* [A-Z]' | sed 's/\[[0-9:]*\]//' || true
  done
}
rules_of() {
  saved_rules
  in_router nft list table inet fettle 2>/dev/null | sed 's/packets [0-9]* bytes [0-9]*//' || true
}
others_rules() { saved_rules | grep -v fettle || true; }
queued() { # packets that came to the queues
  "$fettle" status --json --control "$work/control" | "$python" -c '
import json, sys
print(sum(queue["traffic"]["packets"] for queue in json.load(sys.stdin)["queues"]))'
}
watch() { # namespace what the router's MAC ends with, file
  # Room for 8,192 packets; of the longest that a device can bring, there would be room for 32.
  start "watch-$2" "$1" tcpdump -i eth0 -n -U -Z root --immediate-mode -s 2048 -B 16384 -w "$3" \
    "ether src 02:00:00:00:00:$2"
  watches+=("$started")
  wait_for 5 log_has "watch-$2" 'listening on' || die "tcpdump does not listen"
}
sent_by() { in_router cat "/sys/class/net/$1/statistics/tx_packets"; } # device
captured() { # file packets
  [ "$(tcpdump -n -r "$1" 2>/dev/null | wc -l)" -ge "$2" ]
}
pass_by() { # out.pcap: what leaves the router on its server's side; out.pcap.client: on the other
  local at wan lan
  watches=()
  watch "$server" 11 "$1"
  watch "$client" 01 "$1.client"
  wan=$(sent_by wan) lan=$(sent_by lan)
  in_client tcpreplay -q -p 2000 -i eth0 "$work/in.pcap" >"$work/replay.log" 2>&1 || die "tcpreplay failed"
  wait_for 5 queues_empty "$router" || fail "the queues do not run empty"
  sleep 0.2 # answers of the client's own
  wait_for 5 captured "$1" $(($(sent_by wan) - wan)) || fail "tcpdump has not seen all at the server's side"
  wait_for 5 captured "$1.client" $(($(sent_by lan) - lan)) || fail "tcpdump has not seen all at the client's side"
  kill "${watches[@]}"
  for at in "${watches[@]}"; do wait "$at" 2>/dev/null; done
}

steer() { in_router "$fettle" steer --tool "$tool" --queue-balance 0:1 "$@" 2>>"$work/notes.log"; }

try_recipe() { # name extra-flags...
  local name=$1 count before
  shift
  count=$(packets write "$recipes/$name.toml" "$work/in.pcap") || die "$count"
  fettle_start "$router" --rules "$recipes/$name.toml" --queue-balance 0:1
  steer --rules "$work/all.toml" "$@" --apply || die "what queues all cannot be entered"
  pass_by "$work/all.pcap"
  before=$(queued)
  # One whose TTL ends here is not forwarded.
  expect_between "$name, $tool: queued, all" "$before" $(($(says "$count" all) - 1)) 100000
  fettle_stop
  steer --remove || die "cannot be removed"
  fettle_start "$router" --rules "$recipes/$name.toml" --queue-balance 0:1
  steer --rules "$recipes/$name.toml" "$@" --apply || die "$name cannot be entered"
  pass_by "$work/some.pcap"
  # ttl-dscp has rules for everything.
  [ "$name" = ttl-dscp ] ||
    expect_between "$name, $tool: queued, of $(says "$count" mine) of its own" "$(queued)" 1 "$(says "$count" mine)"
  fettle_stop
  steer --remove || die "$name cannot be removed"
  local judged
  judged=$(packets same "$work/all.pcap" "$work/some.pcap" 2>"$work/differences")
  expect_equal "$name, $tool: packets that are others than when all is queued" \
    "$(says "$judged" missing) $(says "$judged" more)" "0 0"
  [ "$(says "$judged" missing)" = 0 ] || cat "$work/differences"
  expect_between "$name, $tool: packets compared" "$(says "$judged" packets)" 40 1000
}

cat >"$work/all.toml" <<'RULES'
[[rule]]
name = "all"
match = { }
steps = [ "log" ]
RULES
cat >"$work/numbered.toml" <<'RULES'
[[rule]]
name = "numbered"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { set = { ttl = 9 } } ]
RULES

for number in $(seq 40); do
  printf '[[rule]]\nmatch = { protocol = "udp", src = "10.%d.0.0/16", dst-port = %d }\nsteps = [ { set = { ttl = 9 } } ]\n' \
    $((100 + number)) $((6000 + 3 * number))
done >"$work/many.toml"

try_entering() {
  local before once
  before=$(others_rules)
  # Entered twice: there once. Changed: the former is gone.
  steer --rules "$recipes/sip.toml" --apply
  once=$(rules_of)
  steer --rules "$recipes/sip.toml" --apply
  expect_equal "$tool: rules entered twice are there once" "$(rules_of)" "$once"
  steer --rules "$recipes/ftp.toml" --apply --around lan
  expect_equal "$tool: of the former ones left" "$(rules_of | grep -c 5060)" 0
  # Chains or sets of many rules, with others, and with fewer: no former one is left.
  steer --rules "$recipes/sip.toml" --apply
  steer --rules "$work/many.toml" --apply --spread flow || fail "$tool: many rules are not entered"
  steer --rules "$work/many.toml" --apply || fail "$tool: how they are spread cannot be changed"
  expect_between "$tool: divided" "$(rules_of | grep -cE -- '-g fettle-| \. ')" 1 40
  steer --rules "$recipes/sip.toml" --apply || fail "$tool: many rules cannot be changed to few"
  expect_equal "$tool: rules for many are there no more" "$(rules_of)" "$once"
  steer --remove
  expect_equal "$tool: rules left" "$(rules_of | grep -c NFQUEUE)$(rules_of | grep -cw queue)" 00
  steer --remove || fail "$tool: to remove what is not there is an error"
  expect_equal "everybody else's rules" "$(others_rules)" "$before"
}

try_load() { # packets a second
  local _
  # Under load: the rules come and go while packets wait in the queue, and none is lost.
  fettle_start "$router" --rules "$recipes/ttl-dscp.toml" --queue-balance 0:1
  receiver_start $server_address4
  sender_start $server_address4 rate="$1"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    steer --rules "$work/all.toml" --apply || fail "$tool: cannot be entered"
    sleep 0.1
    steer --rules "$work/many.toml" --apply || fail "$tool: cannot be changed to many"
    sleep 0.1
    steer --rules "$work/numbered.toml" --apply || fail "$tool: cannot be changed"
    sleep 0.1
    steer --remove || fail "$tool: cannot be removed"
  done
  traffic_stop
  printf '%s: %d sent\n' "$tool" "$sent"
  expect_equal "$tool: lost while rules came and went" "$lost" 0
  expect_between "$tool: queued of them" "$(queued)" 1000 100000000
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
}

# fettle run --steer: rules come when the queues are read, change with a reload, and go before they are drained; none
# of a flow's packets is lost or comes unmended in between.
ports_queued() { rules_of | grep -oEi "dports? $1 .*queue" | sort -u | wc -l; } # as the firewall writes them
try_run() { # packets a second
  local early enterer
  cat >"$work/run.toml" <<'RULES'
[[rule]]
name = "numbered"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES
  receiver_start $server_address4
  sender_start $server_address4 rate="$1"
  wait_for 5 log_has sender . || true
  fettle_start "$router" --rules "$work/run.toml" --queue-balance 0:1 --steer "$tool"
  wait_for 10 log_has fettle 'steering: ' || fail "$tool: run --steer does not say what it entered"
  expect_equal "$tool: by run --steer, rules for queues" "$(ports_queued '5000')" 1
  sleep 1
  sed -i 's/46544c31", at = 0/46544c32", at = 4/; s/5000/"5000-5001"/' "$work/run.toml"
  "$fettle" reload --control "$work/control" >/dev/null || fail "$tool: the reload is refused"
  expect_equal "$tool: after a reload" "$(ports_queued '5000[:-]5001')" 1
  # Rules that the firewall does not take are not for the workers, either.
  cp "$work/run.toml" "$work/right.toml"
  sed -i 's/numbered/never/; s/5000-5001/5000-5002/' "$work/run.toml"
  enterer=$(readlink -f "$(command -v iptables-restore)")
  [ "$tool" = iptables ] || enterer=$(readlink -f "$(command -v nft)")
  nsenter --target "$fettle_pid" --mount mount --bind /bin/false "$enterer" || fail "nothing hides $enterer"
  local status=0
  "$fettle" reload --control "$work/control" >"$work/reload.log" 2>&1 || status=$?
  nsenter --target "$fettle_pid" --mount umount "$enterer"
  expect_equal "$tool: exit status of a reload that the firewall refuses" "$status" 69
  expect_match "$tool: the rules that are left" "$("$fettle" status --control "$work/control")" ' numbered$'
  expect_equal "$tool: and those of the firewall" "$(ports_queued '5000[:-]5001')" 1
  cp "$work/right.toml" "$work/run.toml"
  printf 'steps = 7\n' >>"$work/run.toml"
  ! "$fettle" reload --control "$work/control" >/dev/null 2>&1 || fail "$tool: a wrong file is adopted"
  expect_equal "$tool: after a reload that was refused" "$(ports_queued '5000[:-]5001')" 1
  sleep 1
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
  expect_equal "$tool: rules left by run --steer" "$(rules_of | grep -cE 'NFQUEUE|queue flags')" 0
  traffic_stop
  printf '%s: %d sent, %d mended by the first rules, %d by the second\n' "$tool" "$sent" "$(report receiver first)" \
    "$(report receiver second)"
  expect_equal "$tool: lost" "$lost" 0
  early=$(report receiver first)
  expect_between "$tool: mended by the first rules" "$early" 500 100000000
  expect_between "$tool: mended by the second" "$(report receiver second)" 500 100000000
}
