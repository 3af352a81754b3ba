#!/bin/bash
# The Debian package on a fresh Debian 12 with systemd as process 1: installed by apt, it runs and changes nothing; an
# upgrade under UDP load loses nothing and lets nothing pass unchanged; a purge leaves nothing.
#
#   PACKAGES=build package_test.sh   the build folder, in which Debian is kept, for the next time
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/container_lib.sh"
. "$(dirname "$0")/debian_lib.sh"

live_begin "the package on a fresh Debian 12"
debian_begin

# ---- the packages: this version, and a later one ----------------------------------------------
files=$work/files
mkdir -p "$files/packages"
make_package later -D CPACK_PACKAGE_VERSION=999.0
later=$package
make_package now
mv "$work/later/$later" "$work/now/$package" "$files/packages/"
deb=$files/packages/$package
version=$(dpkg-deb -f "$deb" Version)
debian_with "$deb"

# ---- installed --------------------------------------------------------------------------------
container_start "$debian"
apt() {  # what apt-get is to do
  succeeds "apt-get $*" env -i PATH="$PATH" DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
    apt-get -qy --no-install-recommends "$@"
}
# But for logs and what keeps accounts of packages and users.
all_files() {
  inside find / -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /tmp \
    -o -path /var/tmp \) -prune -o -print | grep -vE '^/etc/((passwd|group|shadow|gshadow)-|\.pwd\.lock)$|^/var/lib/systemd/' |
    sort
}
all_files >"$work/before"
apt install "/packages/$package"
grep -iE 'warning|error' "$work/command.log" | grep -v unsandboxed && fail "that is what dpkg says"
expect_equal "fettle --version" "$(inside fettle --version)" "fettle ${version%-*}"
succeeds "fettle check /etc/fettle/rules.toml" fettle check /etc/fettle/rules.toml
succeeds "systemd-analyze verify" systemd-analyze verify --man=no fettle.service
expect_equal "it finds nothing to say" "$(cat "$work/command.log")" ""
expect_equal "the service is" "$(inside systemctl is-enabled fettle) $(shown ActiveState)" "enabled active"
expect_running
expect_equal "user" "$(inside stat -c %U "/proc/$(shown MainPID)")" fettle
expect_equal "quarantine" "$(inside stat -c '%U %a' /var/lib/fettle/quarantine)" "fettle 700"
for file in /usr/share/man/man1/fettle.1.gz /usr/share/man/man5/fettle-rules.5.gz \
  /usr/share/bash-completion/completions/fettle /usr/share/doc/fettle/examples/sip.toml; do
  succeeds "$file" test -s "$file"
done

# ---- upgraded, under load ---------------------------------------------------------------------
printf '[[rule]]\nmatch = { protocol = "udp", dst-port = 5000 }\nsteps = [ { write = "46544c31", at = 0 } ]\n' |
  inside tee /etc/fettle/rules.toml >/dev/null
printf 'FETTLE_OPTIONS="--rules /etc/fettle/rules.toml --queue-balance 0:1 --queue-length 65536 --receive-buffer 256M"\n' |
  inside tee /etc/default/fettle >/dev/null
succeeds "systemctl restart" systemctl restart fettle
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
receiver_start "$server_address4"
sender_start "$server_address4" "from=$client_addresses4" rate=20000
sleep 0.3
before=$(shown MainPID)
apt install "/packages/$later"
expect_equal "version" "$(inside dpkg-query -W -f '${Version}' fettle)" "999.0-${version##*-}"
[ "$(shown MainPID)" != "$before" ] || fail "it is the process before"
expect_running
sleep 0.3
traffic_stop
for what in none duplicated corrupt; do expect_equal "packets: $what" "$(report receiver $what)" 0; done
expect_equal "lost" "$lost" 0
expect_match "settings are kept" "$(inside cat /etc/default/fettle)" "queue-length"

# ---- removed and purged -----------------------------------------------------------------------
apt remove fettle
expect_equal "state after it" "$(shown ActiveState)" inactive
expect_equal "queues that are bound after it" "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
succeeds "settings are kept" test -s /etc/fettle/rules.toml
apt purge fettle
all_files >"$work/after"
expect_equal "files that stay, or are missing" "$(diff "$work/before" "$work/after" | grep '^[<>]')" ""
expect_equal "of the unit" "$(shown LoadState)" not-found
container_end
live_end
