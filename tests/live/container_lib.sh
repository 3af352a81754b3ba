# Sourced after lib.sh: systemd as process 1 of a container in the router's network, with fettle as its service. It ends
# with the process that started it.
# shellcheck shell=bash disable=SC2034,SC2154  # variables for the tests, and of lib.sh

# $work/files is laid over this machine's root, or over another one. Sets init, its pid.
container_start() {  # [root]
  mkdir -p "$work/container"
  start boot "$router" unshare --fork --kill-child --pid --mount --uts --ipc --cgroup \
    "$live_dir/systemd_boot.sh" "$work/container" "$work/files" "$@"
  unshare_pid=$started
  wait_for 5 first_process || skip "no namespaces for a container: $(tail -n 1 "$work/boot.log")"
  init=${init% }
  wait_for 30 container_is_up || skip "systemd does not come up in a container here: $(tail -n 1 "$work/boot.log")"
}

container_end() { kill -KILL "$init"; }

first_process() { init=$(cat "/proc/$unshare_pid/task/$unshare_pid/children") && [ -n "$init" ]; }

container_is_up() {
  kill -0 "$init" 2>/dev/null || skip "systemd does not run in a container here: $(tail -n 1 "$work/boot.log")"
  inside systemctl is-active --quiet basic.target dbus.socket 2>/dev/null
}

inside() { nsenter --target "$init" --root --wd --mount --pid --uts --ipc --cgroup -- "$@"; }

shown() { inside systemctl show fettle --property "$1" --value; }
service_log() { inside journalctl --unit fettle --output cat --no-pager >"$work/service.log" 2>/dev/null; }
succeeds() {  # title command...
  local title=$1
  shift
  if inside "$@" >"$work/command.log" 2>&1; then pass "$title"; else fail "$title: $(cat "$work/command.log")"; fi
}

# The service runs, or the test ends.
expect_running() {
  [ "$(shown ActiveState) $(shown SubState)" != "active running" ] || return 0
  service_log
  die "it does not run: $(shown ActiveState) $(shown SubState)"
}
