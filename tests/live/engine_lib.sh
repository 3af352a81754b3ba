# Sourced after lib.sh: Podman, with images, containers and settings of the test's own, which go with it.
# shellcheck shell=bash disable=SC2034,SC2154  # variables for the tests, and of lib.sh

# In a mount namespace where the control groups are those of version 2 alone: crun runs nothing beneath both versions.
engine_begin() {
  local tool
  for tool in podman crun conmon; do
    command -v $tool >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
  done
  unshare --mount --propagation private sh -c \
    'mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo up && exec sleep infinity' >"$work/engine-place" 2>&1 &
  engine_place=$!
  pids+=("$engine_place")
  wait_for 5 test -s "$work/engine-place"
  grep -q '^up$' "$work/engine-place" || skip "no control groups for a container: $(cat "$work/engine-place")"
  trap 'engine_end $?' EXIT
  # Neither more than this process may have, nor more than what Podman makes of it.
  local files processes most=32768
  files=$(ulimit -Hn)
  processes=$(ulimit -Hu)
  [ "$processes" != unlimited ] && [ "$processes" -lt $most ] || processes=$most
  engine_limits=(--ulimit "nofile=$files:$files" --ulimit "nproc=$processes:$processes")
  # It makes no control groups, since those would need a BPF program for devices, which not every machine of tests
  # allows; without one no more than the first process can be told to end.
  cat >"$work/crun" <<'CRUN'
#!/bin/bash
for argument; do
  shift
  [ "$argument" = --all ] || set -- "$@" "$argument"
done
exec crun --cgroup-manager=disabled "$@"
CRUN
  chmod +x "$work/crun"
  engine info >"$work/engine-info" 2>&1 || skip "Podman does not work here: $(tail -n 1 "$work/engine-info")"
}

engine() {
  nsenter --target "$engine_place" --mount --wd="$PWD" podman --root "$work/engine" --runroot "$work/engine-run" \
    --runtime "$work/crun" --cgroup-manager cgroupfs --log-level fatal "$@"
}

engine_end() {  # exit status
  trap '' INT TERM
  set +e
  engine rm --all --force --time 1 >/dev/null 2>&1
  # What it has mounted, in its namespace alone.
  nsenter --target "$engine_place" --mount umount --recursive "$work/engine/overlay" 2>/dev/null
  (exit "$1")
  cleanup
}

# Runs in the router's network, detached.
engine_run() {  # name option... image argument...
  local name=$1
  shift
  engine run --detach --name "$name" --network "ns:/run/netns/$router" "${engine_limits[@]}" "$@" \
    >"$work/$name.id" 2>"$work/engine-run.log" || die "podman run: $(cat "$work/engine-run.log")"
}

# Before show_logs.
engine_logs() {
  local name
  for name in $(engine ps --all --format '{{.Names}}'); do engine logs "$name" >"$work/$name.log" 2>&1; done
}
container_says() { engine logs "$1" 2>&1 | grep -Eq -- "$2"; }  # name pattern
container_state() { engine inspect "$1" --format '{{.State.Status}} {{.State.ExitCode}}'; }
container_health() { engine inspect "$1" --format '{{.State.Health.Status}}'; }
