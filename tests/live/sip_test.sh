#!/bin/bash
# A real SIP phone (sipp) behind NAT calls another, with deploy/recipes/sip.toml between them: without the rules
# the call is set up and silent, with them the audio of the other side arrives.
. "$(dirname "$0")/lib.sh"

audio=/usr/share/sip-tester/g711a.pcap
outside=198.51.100.1

live_begin "SIP through NAT: the audio arrives"
command -v sipp >/dev/null || skip "sipp is not there: deploy/install-dependencies --tests"
[ -r $audio ] || skip "$audio is not there: deploy/install-dependencies --tests"

# What is not to be mended works: the NAT keeps ports, and the audio has its way.
add_addresses "$router" wan $outside/32
ip -n "$server" route del default
ip -n "$server" route add $outside via 10.2.0.1
in_router iptables -t nat -A POSTROUTING -o wan -j SNAT --to-source $outside
in_router iptables -t nat -A PREROUTING -i wan -p udp --dport 6000 -j DNAT --to-destination $client_address4
in_client iptables -A INPUT -p udp --dport 6000 -m comment --comment audio

message() {  # first-line line...: as sipp's scenarios have it
  printf '<![CDATA[\n'
  printf '%s\n' "$@"
  printf ']]>'
}
sdp=("Content-Type: application/sdp" "Content-Length: [len]" "" "v=0" "o=user 1 1 IN IP4 [local_ip]" "s=-"
  "c=IN IP4 [media_ip]" "t=0 0" "m=audio [media_port] RTP/AVP 8" "a=rtpmap:8 PCMA/8000")
asked=("Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
  "From: a <sip:a@[local_ip]:[local_port]>;tag=[pid]a[call_number]" "Call-ID: [call_id]"
  "Contact: <sip:a@[local_ip]:[local_port];transport=[transport]>" "Max-Forwards: 70")
answered=("[last_Via:]" "[last_From:]" "[last_To:];tag=[pid]b[call_number]" "[last_Call-ID:]" "[last_CSeq:]"
  "Contact: <sip:[local_ip]:[local_port];transport=[transport]>")
cat >"$work/caller.xml" <<XML
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
<send retrans="500">$(message "INVITE sip:b@[remote_ip]:[remote_port] SIP/2.0" "${asked[@]}" \
  "To: b <sip:b@[remote_ip]:[remote_port]>" "CSeq: 1 INVITE" "${sdp[@]}")</send>
<recv response="200" rrs="true"/>
<send>$(message "ACK [next_url] SIP/2.0" "${asked[@]}" "[last_To:]" "CSeq: 1 ACK" "Content-Length: 0" "")</send>
<pause milliseconds="1500"/>
<send retrans="500">$(message "BYE [next_url] SIP/2.0" "${asked[@]}" "[last_To:]" "CSeq: 2 BYE" \
  "Content-Length: 0" "")</send>
<recv response="200"/>
</scenario>
XML
cat >"$work/called.xml" <<XML
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="called">
<recv request="INVITE" rrs="true"/>
<send retrans="500">$(message "SIP/2.0 200 OK" "${answered[@]}" "${sdp[@]}")</send>
<recv request="ACK"/>
<nop><action><exec play_pcap_audio="$audio"/></action></nop>
<recv request="BYE"/>
<send>$(message "SIP/2.0 200 OK" "${answered[@]}" "Content-Length: 0" "")</send>
</scenario>
XML

listens() { in_server ss -Hln "$1" | grep -q ':5060 '; }
# call u1|t1: sets ended, the caller's exit status, and heard, how many packets of audio came.
call() {
  local flag=-u
  [ "$1" = u1 ] || flag=-t
  in_client iptables -Z INPUT
  rm -f "$work"/*.messages
  start called "$server" sipp -sf "$work/called.xml" -i $server_address4 -p 5060 -mi $server_address4 -mp 7000 -t "$1" \
    -m 1 -nostdin -timeout 8 -trace_msg -message_file "$work/called.messages"
  local called=$started
  wait_for 5 listens $flag || die "the called side does not listen"
  ended=0
  in_client timeout 8 sipp -sf "$work/caller.xml" -i $client_address4 -p 5062 -mi $client_address4 -mp 6000 -t "$1" \
    -m 1 -nostdin -timeout 6 -trace_msg -message_file "$work/caller.messages" $server_address4:5060 \
    >"$work/caller.log" 2>&1 || ended=$?
  end_process "$called"
  heard=$(counted "$client" iptables filter audio)
}
sdp_length() {  # caller|called: what the INVITE says
  sed -n '/^INVITE/,/^v=0/s/^Content-Length: *\([0-9]*\).*/\1/p' "$work/$1.messages" | head -n 1
}

sed -e "s/^\"10.9.1.2\" = .*/\"$client_address4\" = \"$outside\"/" -e '/^match/s/10.9.0.0/10.1.0.0/' \
  "$root_dir/deploy/recipes/sip.toml" >"$work/rules.toml"

judge() {  # what: of a call with the rules
  expect_equal "$1: the call ends well" "$ended" 0
  expect_between "$1: packets of audio that arrive" "$heard" 20 200
  expect_match "$1: the SDP tells the outside address" "$(cat "$work/called.messages")" "^c=IN IP4 $outside"
  expect_equal "$1: the called side sees no inside address" "$(grep -c "$client_address4" "$work/called.messages")" 0
  expect_equal "$1: Content-Length follows its body" $(($(sdp_length called) - $(sdp_length caller))) 8
  expect_equal "$1: the phone sees no outside address but its own" \
    "$(grep -c "$outside" "$work/caller.messages")" 0
}

call u1
expect_equal "UDP, without the rules: packets of audio that arrive" "$heard" 0
call t1
expect_equal "TCP, without the rules: packets of audio that arrive" "$heard" 0

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
in_router iptables -t mangle -A FORWARD -s 10.1.0.0/16 -p udp --dport 5060 -j NFQUEUE --queue-balance 0:1
in_router iptables -t mangle -A FORWARD -d 10.1.0.0/16 -p udp --sport 5060 -j NFQUEUE --queue-balance 0:1
in_router iptables -t raw -A PREROUTING -i lan -p tcp --dport 5060 -j NFQUEUE --queue-balance 0:1
in_router iptables -t mangle -A POSTROUTING -o lan -p tcp --sport 5060 -j NFQUEUE --queue-balance 0:1
in_router conntrack -F 2>/dev/null || true
call u1
judge UDP
call t1
judge TCP
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "checksum errors" $(($(checksum_errors "$server") + $(checksum_errors "$client"))) 0
live_end
