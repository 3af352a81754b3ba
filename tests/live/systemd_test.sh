#!/bin/bash
# deploy/systemd/fettle.service under systemd itself, as process 1 of a container: restarted, reloaded and killed under
# UDP load, nothing is lost and nothing passes unchanged; stopped, the queues are emptied and closed.
#
#   ROUNDS=30 RATE=50000 tests/live/systemd_test.sh   (4 restarts, at 20,000 packets/s)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/container_lib.sh"

rounds=${ROUNDS:-4}
rate=${RATE:-20000}
live_begin "$rounds restarts by systemd, at $rate packets a second"
for file in /lib/systemd/systemd /usr/bin/dbus-daemon /usr/bin/systemctl; do
  [ -x "$file" ] || skip "$file is not there: deploy/install-dependencies --tests"
done

files=$work/files
mkdir -p "$files"/{etc/default,etc/fettle,etc/systemd/system,etc/sysusers.d,usr/sbin}
cp "$root_dir/deploy/systemd/fettle.service" "$files/etc/systemd/system/"
cp "$root_dir/deploy/systemd/fettle.sysusers" "$files/etc/sysusers.d/fettle.conf"
cp "$fettle" "$files/usr/sbin/fettle"
cat >"$files/etc/fettle/rules.toml" <<'RULES'
[[rule]]
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES
printf 'FETTLE_OPTIONS=--rules /etc/fettle/rules.toml --queue-balance 0:1 --queue-length 65536 --receive-buffer 256M\n' \
  >"$files/etc/default/fettle"
container_start
succeeds "systemd-analyze verify" systemd-analyze verify --man=no /etc/systemd/system/fettle.service
expect_equal "it finds nothing to say" "$(cat "$work/command.log")" ""
exposure=$(inside systemd-analyze security --offline=yes --no-pager /etc/systemd/system/fettle.service |
  sed -n 's/.*Overall exposure level for fettle.service: \([0-9.]*\) .*/\1/p')
expect_between "tenths of exposure, as systemd-analyze security counts" "${exposure/./}" 1 20
succeeds "systemd-sysusers" systemd-sysusers
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
succeeds "systemctl start" systemctl start fettle
expect_running
expect_match "what it says of itself" "$(shown StatusText)" "queues 0:1, 2 workers, 1 rule"
# The capabilities of a process inside by its status; those of the worker are NET_ADMIN alone.
status_of() { inside sed -n "s/^$2:[[:space:]]*\([^[:space:]]*\).*/\1/p" "/proc/$1/status"; }
supervisor=$(shown MainPID)
worker=$(inside pgrep --oldest --parent "$supervisor")
user=$(inside id -u fettle)
expect_equal "user of supervisor and worker" "$(status_of "$supervisor" Uid) $(status_of "$worker" Uid)" "$user $user"
expect_equal "capabilities of the supervisor" "$(status_of "$supervisor" CapPrm)" 000000c000201000
expect_equal "capabilities of a worker" "$(status_of "$worker" CapPrm)" 0000000000001000
as_supervisor() {
  inside nsenter --target "$supervisor" --mount --root -- setpriv --reuid fettle --regid fettle --clear-groups "$@"
}
for folder in /var/lib/fettle /run/fettle; do
  if as_supervisor test -w $folder; then pass "$folder can be written"; else fail "$folder cannot be written"; fi
done
if as_supervisor sh -c 'echo > /etc/fettle/new' 2>/dev/null; then fail "/etc/fettle can be written"; fi
service_log
fields=$(inside journalctl --unit fettle --output json --no-pager FETTLE_QUEUE=1 PRIORITY=6 | grep -c '"MESSAGE":"queue 1: bound')
expect_equal "lines about queue 1, by their fields" "$fields" 1
! grep -qs bpf /sys/kernel/security/lsm ||
  expect_match "the queues' sockets are locked" "$(cat "$work/service.log")" "queue's socket locked"
expect_match "the self-test is done" "$(cat "$work/service.log")" "self-test"
grep -E "sandbox|self-test" "$work/service.log" | sed 's/^/        /'
receiver_start $server_address4
sender_start $server_address4 "from=$client_addresses4" "rate=$rate"
for ((i = 0; i < rounds; ++i)); do
  sleep 0.3
  before=$(shown MainPID)
  succeeds "systemctl restart" systemctl restart fettle
  [ "$(shown MainPID)" != "$before" ] || fail "it is the process before"
done
expect_between "descriptors that systemd keeps" "$(shown NFileDescriptorStore)" 8 12
succeeds "systemctl reload" systemctl reload fettle
for _ in 1 2; do
  before=$(shown MainPID)
  [ "$before" != 0 ] || die "it does not run"
  inside kill -KILL "$before"
  # Asked for at once: between two questions systemd may learn of the end.
  runs_again() {
    local shown
    shown=$(inside systemctl show fettle --property MainPID,SubState | sort | tr '\n' ' ')
    [[ $shown =~ ^MainPID=([1-9][0-9]*)\ SubState=running\ $ ]] && [ "${BASH_REMATCH[1]}" != "$before" ]
  }
  wait_for 10 runs_again || { service_log; die "it is not started again after SIGKILL"; }
done
expect_equal "restarts by systemd itself" "$(shown NRestarts)" 2
sleep 0.3
traffic_stop
printf '        longest silence of a flow: %s ms\n' "$(report receiver longest_gap_ms)"
for what in none duplicated corrupt; do expect_equal "packets: $what" "$(report receiver $what)" 0; done
expect_equal "lost" "$lost" 0
service_log
expect_equal "restarts that kept the queues" "$(log_count service 'the queues stay, for who is started next')" "$rounds"
# A batch that was in hand may be counted twice, or not at all, where a worker is killed.
batches=$((2 * 2 * 64))
expect_between "counted over all restarts" \
  "$(inside fettle status --json | "$python" -c '
import json, sys
print(sum(queue["traffic"]["packets"] for queue in json.load(sys.stdin)["queues"]))')" $((sent - batches)) $((sent + batches))

expect_match "it reads the firewall's counters" "$(inside fettle status)" \
  "^firewall +2 rules sent [1-9][0-9]* packets here"
succeeds "systemctl stop" systemctl stop fettle
expect_equal "state after it" "$(shown ActiveState) $(shown Result)" "inactive success"
expect_equal "descriptors that are kept after it" "$(shown NFileDescriptorStore)" 0
expect_equal "queues that are bound after it" "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
service_log
expect_equal "a stop keeps no queues" "$(log_count service 'the queues stay, for who is started next')" "$rounds"
container_end
live_end
