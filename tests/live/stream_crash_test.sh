#!/bin/bash
# Workers are killed (SIGKILL) while the stream of a TCP connection is edited and changes its length: the successor
# knows the connection, so that it goes on, and not a byte is wrong in either direction.
. "$(dirname "$0")/lib.sh"

kills=10
live_begin "kill -9 of the worker, $kills times, in the middle of an edited TCP connection"

sent_more_than() {  # packets: the router has forwarded so many
  [ "$(counted "$router" iptables mangle seen)" -gt "$1" ]
}

crash() {  # flag
  local victim last=""
  printf 'with %s\n' "$1"
  fettle_start "$router" --rules "$live_dir/edited_stream.toml" --queue-balance 0:0 --stream-wait 500 --on-crash drop "$1"
  in_router iptables -t mangle -A FORWARD -p tcp -m comment --comment seen
  in_router iptables -t mangle -A FORWARD -p tcp --sport 5001 -j NFQUEUE --queue-num 0
  in_router iptables -t mangle -A FORWARD -p tcp --dport 5001 -j NFQUEUE --queue-num 0
  start server "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 5001 1 edited
  server_pid=$started
  wait_for 10 log_has server listening || die "the server does not listen"
  start client "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 5001 1 edited
  client_pid=$started
  wait_for 10 log_has client connected || die "the client does not connect"
  for ((i = 0; i < kills; ++i)); do
    # The connection goes on before the next kill.
    wait_for 10 sent_more_than $(($(counted "$router" iptables mangle seen) + 50)) ||
      die "nothing goes on after $i kills"
    victim=$(worker_pid 0)
    if [ -z "$victim" ] || [ "$victim" = "$last" ]; then die "queue 0 has no new worker"; fi
    kill -KILL "$victim"
    last=$victim
  done
  wait_for 10 sent_more_than $(($(counted "$router" iptables mangle seen) + 200)) || die "nothing goes on at the end"
  kill -TERM "$client_pid"
  wait "$client_pid" || die "the client failed"
  wait "$server_pid" || die "the server failed"
  printf '        client: %s\n        server: %s\n' "$(tail -n 1 "$work/client.log")" "$(tail -n 1 "$work/server.log")"
  grep -E '^(wrong|expected) ' "$work/server.log" || true
  expect_equal "restarts that were logged" "$(log_count fettle restarting)" $kills
  expect_between "bytes sent" "$(report client sent)" 1000000 100000000000
  expect_equal "bytes that arrive" "$(report server bytes)" "$(report client bytes)"
  expect_equal "SHA-256 of the edited stream" "$(report server sha256)" "$(report client sha256)"
  expect_equal "acknowledgements that come back" "$(report client lines)" "$(report server lines)"
  expect_equal "first wrong one" "$(report client lines_wrong_at)" -1
  expect_equal "checksum errors" $(($(checksum_errors "$server") + $(checksum_errors "$client"))) 0
  in_router iptables -t mangle -F FORWARD
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
}

crash --gso
crash --no-gso
live_end
