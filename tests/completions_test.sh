#!/bin/bash
# Completions as shells have them, of the scripts that `fettle reference --as` prints, and manual pages as man and
# mandoc judge them.
#
#   completions_test.sh FETTLE
set -euo pipefail
export LC_ALL=C.UTF-8
fettle=$1
work=$(mktemp -d /tmp/fettle-completions.XXXXXX)
trap 'rm -rf "$work"' EXIT
failures=0

expect() {  # what found wanted
  if [ "$2" = "$3" ]; then
    printf '  ok    %s\n' "$1"
  else
    failures=$((failures + 1))
    printf '  FAIL  %s: found "%s", expected "%s"\n' "$1" "$2" "$3"
  fi
}
one_line() { sort | tr '\n' ' ' | sed 's/ *$//'; }

mkdir "$work/here" "$work/here/captures"
touch "$work/here/rules one.toml" "$work/here/in.pcap"
for kind in bash zsh fish fettle.1 fettle-rules.5; do "$fettle" reference --as $kind >"$work/$kind"; done
commands=$("$fettle" --help | sed -n '/^Subcommands:/,$s/^  \([a-z]\{1,\}\) .*/\1/p' | one_line)
run_flags=$("$fettle" run --help | grep -oE '^  (-h,)?--[a-z-]+' | tr -d ' ' | tr ',' '\n' | one_line)

# ---- bash: the words so far, the last of them to be completed ---------------------------------
bash_says() {
  (cd "$work/here" && bash --norc -c '
    . "$0"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _fettle
    printf "%s\n" "${COMPREPLY[@]}"' "$work/bash" "$@") | one_line
}
expect "bash: commands" "$(bash_says fettle '')" "$(tr ' ' '\n' <<<"--help --version -h $commands" | one_line)"
expect "bash: one command" "$(bash_says fettle dr)" drain
expect "bash: flags of run" "$(bash_says fettle run '')" "$run_flags"
expect "bash: some flags" "$(bash_says fettle run --fail)" "--fail-closed --fail-open"
expect "bash: a flag's words" "$(bash_says fettle run --on-crash '')" "accept drop"
expect "bash: behind a sign" "$(bash_says fettle run --on-crash = d)" drop
expect "bash: a file, its name with a space" "$(bash_says fettle run --rules ru)" "rules one.toml"
expect "bash: a folder" "$(bash_says fettle run --quarantine '')" captures
expect "bash: a user" "$(bash_says fettle run --user roo)" root
expect "bash: a number is not guessed" "$(bash_says fettle run --batch '')" ""
expect "bash: a capture" "$(bash_says fettle sniff i)" in.pcap
expect "bash: a flag where files may be" "$(bash_says fettle sniff --c)" --count

# ---- fish and zsh, where there are -------------------------------------------------------------
fish_says() {
  (cd "$work/here" && HOME=$work XDG_CONFIG_HOME=$work XDG_DATA_HOME=$work fish --no-config -c \
    "source '$work/fish'; complete -C '$1'") | cut -f 1 | one_line
}
if command -v fish >/dev/null; then
  expect "fish: commands" "$(fish_says 'fettle ')" "$commands"
  expect "fish: some flags" "$(fish_says 'fettle run --fail')" "--fail-closed --fail-open"
  expect "fish: a flag's words" "$(fish_says 'fettle run --on-crash ')" "accept drop"
  expect "fish: a file" "$(fish_says 'fettle run --rules ru')" "rules one.toml"
  expect "fish: a capture" "$(fish_says 'fettle sniff i')" in.pcap
else
  printf '  --    no fish here\n'
fi

# zsh completes on a terminal only: one of its own (zpty), where each match is shown and nothing else.
zsh_says() {
  (cd "$work/here" && ZDOTDIR=$work zsh -f -c '
    zmodload zsh/zpty
    zpty shell "ZDOTDIR=/nonexistent PS1= zsh -f -i"
    send() { zpty -w shell "$1"; }
    send "PROMPT=; autoload -Uz compinit; compinit -u -D; source '"$work/zsh"'"
    send "_show() { compadd() { local -a found; builtin compadd -O found \"\$@\"; print -rl -- \"<\${^found}>\" }
      _main_complete; print all sho\"\"wn }"
    send "zle -C show list-choices _show; bindkey ^Y show; print rea\"\"dy"
    while zpty -r shell line; do [[ $line == *ready* ]] && break; done
    zpty -n -w shell "$1"$'"'\\C-y'"'
    while zpty -r shell line; do
      print -r -- "$line"
      [[ $line == *all\ shown* ]] && break
    done
    zpty -d shell' zsh "$1") | grep -aoE '<[^<>]+>' | tr -d '<>' | tr ' ' '\n' | sort -u | one_line
}
if command -v zsh >/dev/null; then
  expect "zsh: commands" "$(zsh_says 'fettle ')" "$commands"
  expect "zsh: some flags" "$(zsh_says 'fettle run --fail')" "--fail-closed --fail-open"
  expect "zsh: a flag's words" "$(zsh_says 'fettle run --on-crash ')" "accept drop"
else
  printf '  --    no zsh here\n'
fi

# ---- manual pages ------------------------------------------------------------------------------
for page in fettle.1 fettle-rules.5; do
  if command -v mandoc >/dev/null; then expect "mandoc: $page" "$(mandoc -T lint "$work/$page")" ""; fi
  if command -v man >/dev/null; then expect "man: $page" "$(man --warnings -l "$work/$page" 2>&1 >/dev/null)" ""; fi
done
for flag in $run_flags; do
  flag=${flag//-/\\\\-}
  grep -qE "(^|R, )\\\\fB$flag\\\\fR" "$work/fettle.1" || expect "fettle.1" "no $flag" "$flag"
done
[ $failures = 0 ] || { printf 'FAILED: %d\n' $failures; exit 1; }
