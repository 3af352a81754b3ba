#!/bin/bash
# A real client (dig) and a real server (dnsmasq) with deploy/recipes/dns-doctoring.toml between them: a
# published server cannot be reached by its name from inside without the rules, and can with them.
#
#   dns_test.sh
. "$(dirname "$0")/lib.sh"

recipe=$root_dir/deploy/recipes/dns-doctoring.toml
outside4=198.51.100.1
outside6=2001:db8:51::1
inside4=10.1.0.3
inside6=fd00:1::3

live_begin "dns: a published server is found from inside"
for tool in dig dnsmasq; do
  command -v $tool >/dev/null || die "$tool is not there; run deploy/install-dependencies --tests"
done

# The router owns the outside addresses; nobody listens there for those who come from inside.
add_addresses "$router" wan $outside4/32 $outside6/128

start dnsmasq "$server" dnsmasq -k -C /dev/null --no-resolv --no-hosts --user=root --pid-file= --log-facility=- \
  --bind-interfaces --listen-address=$server_address4 --listen-address=$server_address6 \
  --address=/www.lab.example/$outside4 --address=/www.lab.example/$outside6 \
  --ptr-record=1.100.51.198.in-addr.arpa,www.lab.example
echo INSIDE-WEB >"$work/index.html"
start web "$client" "$python" -u -m http.server 8080 --bind $inside4 --directory "$work"
wait_for 5 log_has web "Serving" || die "the web server does not listen"

ask() {  # argument of dig...
  in_client dig +short +tries=2 +time=2 "@$server_address4" "$@" 2>&1
}
answers() { [ "$(ask +notcp www.lab.example A)" != "" ]; }
wait_for 5 answers || die "dnsmasq does not answer"

fetch() {  # address
  in_client "$python" -c 'import sys, urllib.request as r
print(r.urlopen("http://" + sys.argv[1] + ":8080/index.html", timeout=2).read().decode().strip())' "$1" 2>&1 | tail -n 1
}

address=$(ask www.lab.example A)
expect_equal "without the rules the name means" "$address" $outside4
expect_match "and there is nobody" "$(fetch "$address")" "refused"
expect_equal "the inside address has no name" "$(ask -x $inside4)" ""

fettle_start "$router" --rules "$recipe" --queue-balance 0:1
for tables in iptables ip6tables; do
  in_router $tables -t mangle -A FORWARD -i lan -p udp --dport 53 -j NFQUEUE --queue-balance 0:1
  in_router $tables -t mangle -A FORWARD -o lan -p udp --sport 53 -j NFQUEUE --queue-balance 0:1
  in_router $tables -t raw -A PREROUTING -i lan -p tcp --dport 53 -j NFQUEUE --queue-balance 0:1
  in_router $tables -t mangle -A POSTROUTING -o lan -p tcp --sport 53 -j NFQUEUE --queue-balance 0:1
done

for how in +edns +noedns "+tcp +edns" "+tcp +noedns"; do
  read -ra edns <<<"$how"
  address=$(ask "${edns[@]}" www.lab.example A)
  expect_equal "$how: with the rules the name means" "$address" $inside4
  expect_equal "$how: and there is the server" "$(fetch "$address")" INSIDE-WEB
  expect_equal "$how: IPv6's address" "$(ask "${edns[@]}" www.lab.example AAAA)" $inside6
  expect_equal "$how: the inside address has a name" "$(ask "${edns[@]}" -x $inside4)" www.lab.example.
done
expect_equal "a resolver that is asked over IPv6" \
  "$(in_client dig +short +tries=2 +time=2 "@$server_address6" -x $inside4 2>&1)" www.lab.example.
expect_match "the question comes back as it was asked" "$(in_client dig "@$server_address4" -x $inside4)" \
  '^3\.0\.1\.10\.in-addr\.arpa\..*PTR.*www\.lab\.example\.'
expect_match "and over TCP" "$(in_client dig +tcp "@$server_address4" -x $inside4)" \
  '^3\.0\.1\.10\.in-addr\.arpa\..*PTR.*www\.lab\.example\.'
# 18 questions in one stream, each as long as any.
questions=()
for _ in 1 2 3 4 5 6; do questions+=(www.lab.example A -x $inside4 www.lab.example AAAA); done
expect_equal "many questions on one connection" \
  "$(in_client dig +short +tcp +keepopen "@$server_address4" "${questions[@]}" 2>&1 | sort | uniq -c | tr -s ' \n' ' ')" \
  " 6 $inside4 6 $inside6 6 www.lab.example. "

for tables in iptables ip6tables; do
  in_router $tables -t raw -F PREROUTING
  in_router $tables -t mangle -F
done
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "misses" $(($(rule_summary misses "answers to inside clients") + \
  $(rule_summary misses "questions of inside clients"))) 0
for endpoint in "$server" "$client"; do
  expect_equal "checksum errors at ${endpoint#*-}" "$(checksum_errors "$endpoint")" 0
done
live_end
