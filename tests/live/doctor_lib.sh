# Sourced by the tests of doctor, after live_begin: rule files, and what judges its findings.
# shellcheck shell=bash disable=SC2034,SC2154  # variables for the tests, and lib.sh's

printf '[[rule]]\nmatch = { protocol = "udp" }\nsteps = [ { write = "46544c31", at = 0 } ]\n' >"$work/plain.toml"
cat >"$work/stream.toml" <<'RULES'
[[rule]]
match = { protocol = "tcp", port = 21 }
steps = [ { replace = "a", with = "bb" } ]
RULES
cat >"$work/mark.toml" <<'RULES'
[defaults]
bypass-mark = "0x1/0x1"

[[rule]]
match = { protocol = "udp" }
steps = [ { bypass = true } ]
RULES
cat >"$work/moves.toml" <<'RULES'
[[rule]]
match = { protocol = "udp" }
steps = [ { set = { src = "10.9.9.9" } } ]
RULES

# Sets status and $work/found.json.
examine() {  # rules [flag...]
  status=0
  in_router "$fettle" doctor --rules "$work/$1" --queue-balance 0:1 --json --no-self-test "${@:2}" \
    >"$work/found.json" 2>"$work/doctor.log" || status=$?
}

finding() {  # grade check pattern key: that key of the first such finding; nothing where there is none
  "$python" -IS - "$work/found.json" "$@" <<'PYTHON'
import json, re, sys
path, grade, check, pattern, key = sys.argv[1:]
for one in json.load(open(path))["findings"]:
    if one["grade"] == grade and re.fullmatch(check, one["check"]) and re.search(pattern, one["found"]):
        print(one[key])
        break
PYTHON
}

grades() {
  "$python" -IS -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/found.json" "$1"
}

gone() {  # grade check pattern rules [flag...]: no such finding any more
  examine "${@:4}"
  [ -z "$(finding "$1" "$2" "$3" found)" ]
}

# The finding is there with a command; run, the command leaves none of the kind.
mended() {  # title grade check pattern rules [flag...]
  local title=$1 grade=$2 check=$3 pattern=$4 fix
  shift 4
  examine "$@"
  expect_equal "$title: exit status" "$status" "$([ "$grade" = bad ] && echo 78 || echo 0)"
  fix=$(finding "$grade" "$check" "$pattern" fix)
  [ -n "$fix" ] || { fail "$title: not found, or without a command: $(cat "$work/found.json")"; return; }
  printf '        %s\n' "$fix"
  in_router sh -ec "$fix" >"$work/fix.log" 2>&1 || fail "$title: the command fails: $(cat "$work/fix.log")"
  wait_for 5 gone "$grade" "$check" "$pattern" "$@" || true
  expect_equal "$title: mended" "$(finding "$grade" "$check" "$pattern" found)" ""
}

queue() { firewall "$router" -t mangle "$@"; }
clean() {
  local tables
  for tables in mangle raw nat filter; do
    firewall "$router" -t $tables -F
    firewall "$router" -t $tables -X
  done
}
