#!/bin/bash
# Stateless translation of addresses: with deploy/recipes/icmp-errors.toml ICMP errors reach the program that they
# are for, in both directions. With the same rules less those for what an error quotes, they do not.
. "$(dirname "$0")/lib.sh"

outside=198.51.100.10
live_begin "ICMP errors through a stateless translation of addresses"
for tool in dig traceroute curl; do
  command -v $tool >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
done

sed -e "s/^\"10.9.1.2\" = .*/\"$client_address4\" = \"$outside\"/" \
  -e 's/^match = \(.*\)"10\.9\.0\.0/match = \1"10.1.0.0/' \
  "$root_dir/deploy/recipes/icmp-errors.toml" >"$work/recipe.toml"
# Blocks are parted by empty lines.
awk 'BEGIN { RS = ""; ORS = "\n\n" } !/^\[\[test/ && !/quoted-network"/ || /^#/' "$work/recipe.toml" >"$work/outer.toml"

# The server knows the outside addresses, and none of the inside.
ip -n "$server" route del default
ip -n "$server" route add 198.51.100.0/24 via 10.2.0.1

echo hello >"$work/hello"
start web "$server" "$python" -u -m http.server 8000 --bind $server_address4 --directory "$work"
wait_for 10 log_has web Serving || die "the web server does not listen"

queue() {
  in_router iptables -t raw -A PREROUTING -i lan -s 10.1.0.0/16 -j CT --notrack
  in_router iptables -t raw -A PREROUTING -i wan -d 198.51.100.0/24 -j CT --notrack
  in_router iptables -t mangle -A POSTROUTING -o wan -s 10.1.0.0/16 -j NFQUEUE --queue-balance 0:1
  in_router iptables -t raw -A PREROUTING -i wan -d 198.51.100.0/24 -j NFQUEUE --queue-balance 0:1
}

ask() {  # namespace address: a port where nobody listens
  ip netns exec "$1" dig "@$2" -p 5399 +tries=1 +time=2 lab.example 2>&1 | grep -Eo 'refused|timed out' | head -n 1
}
last_hop() {
  in_client timeout 8 traceroute -n -q 1 -w 1 -m 2 $server_address4 | tail -n 1 | awk '{ print $2 }'
}

printf 'with the packets'\'' own addresses translated, and nothing else\n'
fettle_start "$router" --rules "$work/outer.toml" --queue-balance 0:1 --fail-closed
queue
expect_equal "the translation works" "$(in_client curl -s -m 5 http://$server_address4:8000/hello)" hello
expect_equal "a closed port outside" "$(ask "$client" $server_address4)" "timed out"
expect_equal "a closed port inside" "$(ask "$server" $outside)" "timed out"
expect_equal "the last hop of traceroute" "$(last_hop)" "*"
in_router iptables -t raw -F PREROUTING
in_router iptables -t mangle -F POSTROUTING
fettle_stop
expect_equal "exit status" "$fettle_status" 0

printf 'with the recipe\n'
fettle_start "$router" --rules "$work/recipe.toml" --queue-balance 0:1 --fail-closed
queue
expect_equal "a closed port outside" "$(ask "$client" $server_address4)" "refused"
expect_equal "a closed port inside" "$(ask "$server" $outside)" "refused"
expect_equal "the last hop of traceroute" "$(last_hop)" $server_address4
expect_equal "checksum errors" $(($(checksum_errors "$server") + $(checksum_errors "$client"))) 0
fettle_stop
expect_equal "exit status" "$fettle_status" 0
live_end
