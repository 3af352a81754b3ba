#!/bin/bash
# What a worker that was taken over is left with: the workers of fettle run as /proc shows them, at work; a
# forbidden call; what is left out where privileges are missing; then attempts of all kinds from inside the sandbox,
# with and without the filter of system calls, and, as a control, without a sandbox.
. "$(dirname "$0")/lib.sh"

attack=${SANDBOX_ATTACK:-$root_dir/build/tests/live/sandbox_attack}
live_begin "the sandbox of workers"
command -v strace >/dev/null || die "strace is not there: deploy/install-dependencies --tests"

# ---- fettle run -------------------------------------------------------------------------------

# Names of interfaces are asked of the router, where the worker is not.
cat >"$work/rules.toml" <<'E2'
[[rule]]
match = { protocol = "udp", dst-port = 5000, in = "lan", out = "wan" }
steps = [ { write = "46544c31", at = 0 } ]
E2
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1

names() { printf '%s\n' "$@" | sort; }
status_is() {  # pid key pattern
  expect_match "$1 in /proc/PID/status" "$(tr '\t' ' ' <"/proc/$2/status")" "^$1: *$3\$"
}
shared_maps() {  # pid: what it shares, by file
  awk '$2 ~ /s$/ { print $4, $5 }' "/proc/$1/maps" | sort -u
}
descriptors() {  # pid
  find "/proc/$1/fd" -type l -printf '%l\n' | sed 's/\(proc.\|socket:.\)[0-9]*/\1N/' | sort
}
limit() {  # pid name
  sed -n "s/^$2 *\([0-9a-z]*\) *\([0-9a-z]*\).*/\1 \2/p" "/proc/$1/limits"
}
look_at_worker() {  # pid threads
  status_is Uid "$1" "$nobody $nobody $nobody $nobody"
  status_is Gid "$1" "$nogroup $nogroup $nogroup $nogroup"
  status_is Groups "$1" ""
  status_is CapPrm "$1" 0000000000001000
  status_is CapEff "$1" 0000000000001000
  status_is CapInh "$1" 0000000000000000
  status_is CapBnd "$1" 0000000000000000
  status_is CapAmb "$1" 0000000000000000
  status_is NoNewPrivs "$1" 1
  status_is Seccomp "$1" 2
  status_is Threads "$1" "$2"
  expect_equal "core files" "$(limit "$1" 'Max core file size')" "0 0"
  expect_equal "descriptors that it may have" "$(limit "$1" 'Max open files')" "1 1"
  expect_match "memory" "$(limit "$1" 'Max address space')" '^[0-9]+ [0-9]+$'
  [ "$2" -gt 1 ] || expect_equal "processes" "$(limit "$1" 'Max processes')" "0 0"
  expect_equal "interfaces in its network" "$(nsenter -n -t "$1" ip -o link | wc -l)" 1
  if [ "$(readlink "/proc/$1/ns/net")" = "$(readlink "/proc/$fettle_pid/ns/net")" ]; then
    fail "it is in the router's network namespace"
  fi
}
traffic_is_changed() {  # title
  receiver_start $server_address4
  sender_start $server_address4 from=$client_addresses4 count=2000 rate=5000
  wait "$sender_pid" || die "$1: the sender failed"
  traffic_stop
  expect_equal "$1: lost" "$lost" 0
  expect_equal "$1: changed" "$(report receiver first)" 2000
}

nobody=$(id -u nobody)
nogroup=$(id -g nobody)
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --user nobody
expect_match "the log says what it is" "$(cat "$work/fettle.log")" \
  "sandbox: user nobody, capability CAP_NET_ADMIN alone, no new privileges, empty network namespace.*seccomp"
traffic_is_changed "in the sandbox"
one=$(worker_pid 0)
two=$(worker_pid 1)
look_at_worker "$one" 1
kept=('/memfd:fettle-page (deleted)' '/memfd:fettle-rules (deleted)' '/memfd:fettle-slots (deleted)'
  "$work/fettle.log" /proc/N/net/netfilter/nfnetlink_queue 'socket:[N]' /dev/null /dev/null)
! log_has fettle "queue's socket locked" || kept+=(anon_inode:bpf_link)
expect_equal "its descriptors" "$(descriptors "$one")" "$(names "${kept[@]}")"
socket_of() { find "/proc/$1/fd" -type l -lname 'socket:*' -printf '%l\n'; }
[ "$(socket_of "$one")" != "$(socket_of "$two")" ] || fail "two workers have one socket"
shared_maps "$one" >"$work/maps-one"
shared_maps "$two" >"$work/maps-two"
shared_maps "$fettle_pid" >"$work/maps-supervisor"
expect_equal "memory that two workers share" "$(comm -12 "$work/maps-one" "$work/maps-two")" ""
expect_between "memory that the supervisor shares with one" \
  "$(comm -12 "$work/maps-one" "$work/maps-supervisor" | wc -l)" 1 100

has_worker() { [ -n "$(worker_pid 0)" ]; }
# A call of a worker's own is made another one, which is forbidden.
forbid() {  # times that it is tried in all
  local pid
  wait_for 5 has_worker || die "no successor"
  pid=$(worker_pid 0)
  timeout 30 strace -qq -o /dev/null -p "$pid" -e inject=recvmmsg:retval=0:syscall=getppid >/dev/null 2>&1 || true
  wait_for 5 eval "[ \$(log_count fettle 'queue 0: worker tried a system call that the sandbox forbids') = $1 ]" ||
    die "the log does not say that a forbidden call was tried"
}
named() { log_has fettle 'sandbox forbids \(getppid\)'; }
forbid 1
forbidden=1
# The kernel's own log may have it too late for the supervisor's, or have said too much lately.
sleep 0.2
if dmesg 2>/dev/null | grep -q "type=1326.* pid=$one "; then
  until named || [ $forbidden = 4 ]; do forbid $((forbidden += 1)); done
  if named; then pass "the log names it"; else fail "the log does not name the call"; fi
fi
wait_for 5 has_worker || die "no successor"
traffic_is_changed "a successor in the sandbox"
kill -HUP "$fettle_pid"
wait_for 10 log_has fettle reloaded || die "no reload"
traffic_is_changed "after a reload"
expect_equal "forbidden calls in all" "$(log_count fettle 'sandbox forbids')" $forbidden
fettle_stop
expect_equal "exit status" "$fettle_status" 0

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --threads 2 --user nobody
traffic_is_changed "with threads"
fettle_stop
expect_equal "with threads: exit status" "$fettle_status" 0

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --no-sandbox
expect_match "no sandbox: the log says so" "$(cat "$work/fettle.log")" 'warn.*NO SANDBOX'
status_is Seccomp "$(worker_pid 0)" 0
traffic_is_changed "no sandbox"
fettle_stop

# Without root, and with CAP_DAC_READ_SEARCH, as the kernel's table of queues is root's.
cp "$fettle" "$work/program" && chmod 755 "$work" "$work/program" && chmod 644 "$work/rules.toml"
granted=-all,+net_admin,+dac_read_search
start fettle "$router" setpriv --reuid nobody --regid "$nogroup" --clear-groups --inh-caps=$granted \
  --ambient-caps=$granted --no-new-privs "$work/program" run --rules "$work/rules.toml" --queue-balance 0:1
fettle_pid=$started
wait_for 10 fettle_is_ready || die "fettle does not run without root"
expect_match "without root: the log says what is left out" "$(cat "$work/fettle.log")" \
  'warn.*left out: an empty network namespace \(no CAP_SYS_ADMIN\); an empty bounding set'
status_is Seccomp "$(worker_pid 0)" 2
status_is CapEff "$(worker_pid 0)" 0000000000001000
status_is CapAmb "$(worker_pid 0)" 0000000000000000
traffic_is_changed "without root"
fettle_stop
expect_equal "without root: exit status" "$fettle_status" 0
# ---- attempts ---------------------------------------------------------------------------------

attempts() {  # mode
  in_router "$attack" "$1" >"$work/attack-$1.log" 2>&1 || die "sandbox_attack $1 failed"
  sed -i '/^sandbox: /w '"$work/described"'
    /^left out/w '"$work/left_out"'
    /^\(sandbox\|left out\): /d' "$work/attack-$1.log"
}
allowed() {  # mode
  sed -n 's/: ALLOWED$//p' "$work/attack-$1.log" | sort
}

attempts none
expect_equal "without a sandbox: refused, by the kernel" \
  "$(grep -v ': ALLOWED$' "$work/attack-none.log" | sort | tr '\n' ',')" \
  "bind another worker's queue: EPERM,settings of another worker's queue: EPERM,unbind another worker's queue: EPERM,"
expect_between "attempts" "$(wc -l <"$work/attack-none.log")" 55 1000

# What CAP_NET_ADMIN allows on the queue's socket, unless it is locked.
netfilter=()
if grep -q 'the lock on the queues' "$work/left_out"; then
  printf '        this kernel has no lock on the socket\n'
  netfilter=("bind a further queue" "change nftables" "flush connection tracking" "read nftables")
fi
attempts all
expect_equal "in the sandbox: allowed" "$(allowed all)" \
  "$(names "verdict for its own queue" "${netfilter[@]}")"
expect_equal "in the sandbox: refused in another way" \
  "$(grep -Ev ': (ALLOWED|SIGSYS|EPERM)$' "$work/attack-all.log" | tr '\n' ',')" \
  "write another worker's page: SIGSEGV,mmap of 8 GiB: ENOMEM,"

attempts layers
by_seccomp_alone=("change an interface of the router" "connect to another worker's socket" keyctl
  "list the router's interfaces" "mmap of code" "mprotect to code" personality "prctl PR_SET_DUMPABLE"
  "sendmsg to another worker's socket" "sendto another worker's socket" setsockopt "user namespace")
# Signals of the same user are refused from Landlock 6 on, in Linux 6.12.
grep -Eq '^sandbox: .*Landlock ([6-9]|[1-9][0-9])' "$work/described" ||
  by_seccomp_alone+=("kill another worker" "tgkill another worker")
allowed layers >"$work/layers"
names "verdict for its own queue" "${netfilter[@]}" "${by_seccomp_alone[@]}" >"$work/known"
expect_equal "without seccomp: allowed, and not known to be" "$(comm -23 "$work/layers" "$work/known")" ""

live_end
