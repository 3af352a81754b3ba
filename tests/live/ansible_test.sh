#!/bin/bash
# deploy/ansible's role, by Ansible's own program, on a fresh Debian 12 with systemd as process 1: a dry run changes
# nothing; then package, flags and rules come, under UDP load nothing is lost when they change, a second run changes
# nothing, and rules that are refused come nowhere near it.
#
#   PACKAGES=build ansible_test.sh   the build folder, in which Debian is kept, for the next time
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/container_lib.sh"
. "$(dirname "$0")/debian_lib.sh"

live_begin "Ansible's role on a fresh Debian 12"
command -v ansible-playbook >/dev/null || skip "ansible-playbook is not there: deploy/install-dependencies --tests"
debian_begin
mkdir -p "$work/files"
make_package now
debian_with "$work/now/$package"
container_start "$debian"

export ANSIBLE_CONNECTION_PLUGINS=$live_dir/ansible ANSIBLE_LOCAL_TEMP=$work/ansible ANSIBLE_NOCOLOR=1
export ANSIBLE_HOME=$work/ansible ANSIBLE_PIPELINING=1 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
cp "$root_dir/deploy/ansible/rules.toml.j2" "$work/"
cat >"$work/inventory.yml" <<EOF2
routers:
  hosts:
    fresh:
      ansible_connection: inside
      ansible_become: false
      ansible_python_interpreter: /usr/bin/python3
      inside_init: $init
      fettle_package: $work/now/$package
EOF2
# With variables; sets changed, the number of tasks that changed something.
play() {  # option...
  rm -f "$work/play.log"
  ansible-playbook -i "$work/inventory.yml" -e "@$work/variables.yml" "$root_dir/deploy/ansible/fleet.yml" "$@" \
    >"$work/play.log" 2>&1 || return 1
  changed=$(sed -n 's/^fresh .*changed=\([0-9]*\) .*failed=0.*/\1/p' "$work/play.log")
}
plays() { play "$@" || die "ansible-playbook failed"; }
rules_of() {  # bytes that the rule writes, length of a queue, the rule's name
  cat <<EOF2
fettle_options: --rules /etc/fettle/rules.toml --queue-balance 0:1 --queue-length $2 --receive-buffer 256M
fettle_sysctl:
  net.ipv4.fib_multipath_hash_policy: 3
fettle_rules: |
  [[rule]]
  name = "$3"
  match = { protocol = "udp", dst-port = 5000 }
  steps = [ { write = "$1", at = 0 } ]
EOF2
}

printf '%s\n' "---" >"$work/variables.yml"
rules_of 46544c31 65536 first >>"$work/variables.yml"
plays --check
expect_between "what a dry run would change" "$changed" 1 9
expect_equal "after it the unit is" "$(shown LoadState)" not-found

began=$SECONDS
plays
printf '        the first run: %d s, %s changes\n' $((SECONDS - began)) "$changed"
expect_equal "the service is" "$(inside systemctl is-enabled fettle) $(shown ActiveState)" "enabled active"
expect_match "its flags" "$(inside cat /proc/"$(shown MainPID)"/cmdline | tr '\0' ' ')" "--queue-length 65536"
expect_equal "kernel setting" "$(in_router sysctl -n net.ipv4.fib_multipath_hash_policy)" 3
expect_match "its rules" "$(inside fettle status)" "rules.toml: 1 rule,"
plays
expect_equal "changes of a second run" "$changed" 0
plays --check
expect_equal "changes of a dry run then" "$changed" 0

# ---- changed, under load ----------------------------------------------------------------------
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
receiver_start "$server_address4"
sender_start "$server_address4" "from=$client_addresses4" rate=5000
before=$(shown MainPID)
rules_of 46544c31 65536 second >"$work/variables.yml"
plays
expect_equal "changes with other rules" "$changed" 2
expect_equal "which are read by a reload" "$(shown MainPID)" "$before"
rules_of 46544c31 65535 second >"$work/variables.yml"
plays
[ "$(shown MainPID)" != "$before" ] || fail "other flags start nothing anew"
expect_running
before=$(shown MainPID)
rules_of wrong 65535 third >"$work/variables.yml"
if play; then fail "wrong rules are taken"; else pass "wrong rules end the play"; fi
expect_match "and the reason is shown" "$(cat "$work/play.log")" 'found .{0,2}"wrong'
expect_match "the rules in place are those before" "$(inside cat /etc/fettle/rules.toml)" second
expect_equal "process" "$(shown MainPID)" "$before"
sleep 0.3
traffic_stop
expect_equal "packets: unchanged" "$(report receiver none)" 0
expect_equal "lost" "$lost" 0

# ---- a template, with a table of the site's -----------------------------------------------------
cat >"$work/variables.yml" <<EOF2
fettle_rules_template: $work/rules.toml.j2
print_servers: { 10.20.0.11: 203.0.113.11 }
EOF2
plays
expect_match "the site's table" "$(inside cat /etc/fettle/rules.toml)" '^"10.20.0.11" = "203.0.113.11"$'
expect_match "its rules run" "$(inside fettle status)" "rules.toml: 2 rules,"
container_end
live_end
