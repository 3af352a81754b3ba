#include "rules/reference.h"

#include <algorithm>

#include <fmt/format.h>

#include "rules/vocabulary.h"

namespace fettle {
namespace {

constexpr std::string_view kIntroduction = R"(# The rule language

A rule file is [TOML 1.0](https://toml.io/en/v1.0.0). `fettle check FILE` says whether it is right
and what it compiles to. This page comes from the parser's own vocabulary: `fettle reference >
rules/README.md`.

```toml
[defaults]
verdict   = "accept"             # where no rule decides
malformed = "accept"

[table.print-servers]            # inside = outside; addresses, or prefixes of the same length
"10.20.0.11"   = "203.0.113.11"
"10.20.4.0/24" = "203.0.114.0/24"

[[rule]]
name  = "keep-alive to the central system"
match = { protocol = "udp", dst-port = 1331, not = { src = "10.20.9.0/24" } }
steps = [{ translate = "print-servers", at = 4 }]
```

## How rules are applied

1. A packet whose headers do not parse takes `malformed` and is counted. No rule is tried.
2. Rules are tried in the order of the file. A rule matches when all its keys hold; a list of
   values means any of them. `not = { ... }` excludes the packets for which all keys inside hold;
   a list of such tables excludes what any of them does.
3. A rule's steps run in order. A verdict (`accept`, `drop`, `repeat`, `queue`) ends the packet's
   way; without one the next rule is tried. After the last rule `verdict` holds.
4. Later steps and rules see the packet, and its mark, as changed.
5. A step that cannot be applied changes nothing and counts as a miss of its rule, once; `on-miss`
   makes it a verdict.
6. A changed packet leaves with right checksums. A checksum that was wrong before stays wrong, one
   that is absent (UDP's 0) stays absent, and in a capture one that was left to the network card
   stays so. An unchanged packet is not touched.
7. A later fragment has no ports and no payload: a rule with a key on these (also inside `not`)
   does not match it. A packet without a field (the ports of ICMP) does not hold a key on that
   field.

)";

constexpr std::string_view kPatterns =
    R"(Patterns are PCRE's, as far as Vectorscan has them: no back references, no look-around beyond
`\b` and anchors. Write them in single quotes, where TOML leaves `\` alone. `(?i)`, `(?s)` and
`(?m)` in front work as in PCRE, and so does `$`: the end, or before a newline that is the last
byte; `\z` is the end alone. Letters beyond ASCII are their UTF-8 bytes. A pattern that matches even
an empty payload (`a*`) is refused. Each packet's payload is looked at by itself: what two TCP
segments share is not found. All patterns of a file are looked for in one pass, once a packet and
once more after a step has changed it, and only where a rule's other keys leave it to its pattern.

)";

constexpr std::string_view kStreams =
    R"(## Payloads and streams

`replace`, and `translate` with `at = "anywhere"`, search the payload for what they change and do all
of it; what they put there may be longer or shorter.

- **A datagram** is edited as a whole, length fields and checksums included; each step sees what the
  ones before it left. Nothing found is a miss, and so is what `insert` misses.
- **A TCP segment** belongs to a stream, and the stream is edited: a match that a segment boundary
  cuts is found (the segment waits in the queue for the next one, for a second at most, and for
  `--stream-wait` where its sender had nothing more to follow; a super-packet leaves without its end
  then, which its sender repeats), retransmissions
  leave as the bytes left before, sequence numbers, acknowledgements and SACK blocks are shifted in
  both directions. The rule's match decides for each segment whether the step sees its bytes; a
  connection is looked after from the first such segment on. All steps see the stream as it came, and
  of two whose matches overlap the first is done. A stream's step is never a miss, and
  a verdict of `drop` or `repeat` comes before it. Both directions of the connection must be queued to
  the same worker, which `--queue-balance` sees to. `at = N` has no meaning in a stream: it is a place
  in the segment, where what is as long as before can be written.
- A stream's segment that grows beyond the outgoing interface's MTU is cut, and its second part waits
  for the sender to repeat it: lower the connection's MSS beforehand (`clamp-mss`). What would be put
  into a stream in one place and is longer than a packet has room for is not: nothing of that segment
  is edited.

`replace` takes PCRE2's patterns, as far as Vectorscan can sift payloads by them (`\K` is refused);
`$`, `^` and lines are as under Patterns, and in a stream `^` without `(?m)` is the connection's first
byte. What a pattern may look back upon is four bytes where a segment boundary lies between, and 240
bytes at a time may wait for a pattern: a match whose beginning is further from a segment's end is
found only where it lies in one segment. Of one direction, 512 edits at a time may wait for their
acknowledgement; what would be more waits with its segment, and is let be where one segment has more.

**Messages.** A rule with `content-length`, `sip`, `sdp` or `dns` edits a TCP stream message by message, each when all
of it is there: until then its segments wait as those of a cut match do, 14 KiB at most. Its steps, and those of
other rules that match the same segments, see one message at a time, and all of them are done to it or none. A
text message begins with a start line of HTTP/1, SIP or RTSP and ends where Content-Length says; what does not say
how long it is (Transfer-Encoding, an answer that ends with the connection) or has not come whole in time is let
be, as is all that follows up to the next segment that begins with a start line. A DNS message stands behind its
two bytes of length. So steps that put anything into bodies should be in one rule with `content-length`; those for
headers alone need no message, and work where bodies are chunked or long.

As text, an address counts only where no letter, digit or further part adjoins: `10.9.1.2` is not
found in `110.9.1.2`, `10.9.1.2.3` or `10.9.1.2.example.net`.

)";

constexpr std::string_view kImpairments =
    R"(## Impairments

`delay`, `lose`, `reorder`, `rate` and `corrupt` make a bad network of a good one, as tc-netem and
tc-tbf do, for the packets that a rule matches. Times are written `"20ms"`, `"1.5s"`, `"250us"` or
`"100ns"`, rates in bits a second `"500kbit"`, `"10mbit"` or `"1gbit"`, shares `"5%"`.

The delays of all steps and rules that a packet comes to add up, and a later verdict still decides.
A packet that waits for its verdict stays in the kernel's queue, and others pass it meanwhile; so
`--queue-length` bounds how many can wait, and beyond that packets pass unimpaired with fail-open,
or are dropped with fail-closed. At a reload, and at the end when the drain time is over, what waits
leaves at once. What waits when a worker dies takes `--on-crash`.

In a capture, `lose`, `rate` and `corrupt` do the same; the time is that of the records. A delay
puts the record's time stamp later, and records stay in the order of the input (`reordercap` sorts
them). `fettle replay` uses one thread then. Chance is the same each time in `replay`, `explain` and
tests.

)";

constexpr std::string_view kBypass = R"(## Bypass

The cheapest packet is one that is never queued. A flow whose first packets tell that no rule will
change the rest (`{ bypass = true }`) can pass in the kernel from then on. fettle gives the packet
back with the mark; the firewall keeps it for the connection, both directions of it, and lets what
belongs to a marked connection go by the queue:

```sh
iptables -t mangle -A FORWARD -m connmark --mark 0x1/0x1 -j ACCEPT
iptables -t mangle -A FORWARD -p udp --dport 1331 -j NFQUEUE --queue-balance 0:1 --queue-bypass
iptables -t mangle -A POSTROUTING -m mark --mark 0x1/0x1 -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1
```

with value and mask of `bypass-mark`. The mark is kept in POSTROUTING, since what is accepted comes
to no rule behind NFQUEUE in the same table. Packets that wait in the queue already are still looked
at. Take bits that nothing else uses. A connection whose stream the rules edit is not to be let pass:
its sequence numbers have to be shifted to its end.

)";

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string parameter_table(std::string_view owner) {
  std::string out = "| key | values | meaning |\n| --- | --- | --- |\n";
  for (const ParameterInfo& row : parameters()) {
    if (row.owner != owner) continue;
    out += fmt::format("| `{}` | {} | {} |\n", row.name, escape(row.values), escape(row.prose));
  }
  return out + "\n";
}

std::string key_section(const KeyInfo& key) {
  return fmt::format(
      "### `{}`\n\n{} Values: {}.\n\n```toml\n[[rule]]\nmatch = {{ {} }}\nsteps = "
      "[\"accept\"]\n```\n\n",
      key.name, key.prose, key.values, key.example);
}

std::string step_section(const StepInfo& step) {
  std::string out = fmt::format("### `{}`\n\n`{}`. {}\n\n", step.name, step.form, step.prose);
  if (!parameter_names(step.name).empty()) out += parameter_table(step.name);
  const bool datagrams =
      step.kind == StepKind::kDns || step.kind == StepKind::kSip || step.kind == StepKind::kSdp;
  const bool translates = step.kind == StepKind::kTranslate || datagrams;
  const bool bypasses = step.kind == StepKind::kBypass;
  out += fmt::format("```toml\n{}[[rule]]\nmatch = {{ protocol = \"{}\" }}\nsteps = [{}]\n```\n\n",
                     translates ? "[table.servers]\n\"10.20.0.0/16\" = \"203.0.0.0/16\"\n\n"
                     : bypasses ? "[defaults]\nbypass-mark = \"0x1/0x1\"\n\n"
                                : "",
                     datagrams ? "udp" : "tcp", step.example);
  return out;
}

std::string word_list(std::string_view title, WordGroup group) {
  std::string out = fmt::format("**{}:** ", title);
  bool first = true;
  for (const Word& word : words()) {
    if (word.group != group) continue;
    const std::string number = group != WordGroup::kIcmpType ? fmt::format("{}", word.number)
                               : word.number < 0             ? fmt::format("v6 {}", word.number6)
                               : word.number6 < 0
                                   ? fmt::format("v4 {}", word.number)
                                   : fmt::format("v4 {}, v6 {}", word.number, word.number6);
    out += fmt::format("{}`{}` ({})", first ? "" : ", ", word.name, number);
    first = false;
  }
  return out + ".\n\n";
}

constexpr std::string_view kTests = R"(## Tests

A rule file may carry tests. `fettle check` runs the rules over each test's packet and shows what is
not as expected, byte by byte; a test that fails makes it exit with status 65. Lengths and checksums
are worked out, those of the packet that comes and those of the one that is expected.

```toml
[table.print-servers]
"10.20.0.11" = "203.0.113.11"

[[rule]]
name  = "keep-alive"
match = { protocol = "udp", dst-port = 1331 }
steps = [{ translate = "print-servers", at = 4 }]

[[test]]
name   = "the keep-alive tells the outside address"
packet = { protocol = "udp", src = "10.20.0.11", dst = "198.51.100.9", dst-port = 1331, payload = "4b410100 0a14000b" }
expect = { payload = "4b410100 cb00710b", rules = ["keep-alive"] }

[[test]]
name   = "another server's address stays"
packet = { protocol = "udp", src = "10.20.0.99", dst = "198.51.100.9", dst-port = 1331, payload = "4b410100 0a140063" }
expect = {}
```

)";

std::string tests_section() {
  std::string out(kTests);
  out += "`[[test]]`:\n\n" + parameter_table("test");
  out += "`packet`:\n\n" + parameter_table("packet");
  out +=
      "`expect` takes the packet's keys but `protocol`, `in`, `out` and `hook`, and those below. "
      "It "
      "names what is to differ from the packet that came; the rest of the packet, and its mark, "
      "must "
      "be as they came, except for lengths and checksums that follow. A packet given in hex is "
      "expected in hex.\n\n";
  return out + parameter_table("expect");
}

}  // namespace

std::string reference_markdown() {
  std::string out(kIntroduction);
  out += "## The file\n\n" + parameter_table("file");
  out += "`[defaults]`:\n\n" + parameter_table("defaults");
  out +=
      "`[table.NAME]` has entries `\"inside\" = \"outside\"` and may name a `file` of lines "
      "`inside,outside` (`#` begins a "
      "comment), looked for beside the rule file. Both sides have the same family and prefix "
      "length: hosts are mapped "
      "one for one, and the longest prefix counts. A million entries are no burden.\n\n";
  out += "`[[rule]]`:\n\n" + parameter_table("rule");
  out +=
      "## Match keys\n\nA value, or a list of values of which any will do. Ranges are written "
      "`\"low-high\"`, both ends included.\n\n";
  for (const KeyInfo& key : match_keys()) out += key_section(key);
  out += "`bytes` has these keys:\n\n" + parameter_table("bytes");
  out += "`payload` has these keys, where it is a table:\n\n" + parameter_table("payload");
  out += kPatterns;
  out += "## Steps\n\n";
  for (const StepInfo& step : steps()) out += step_section(step);
  out +=
      "## Places\n\n`from` says where `at` counts from: `payload` (behind the transport header), "
      "`transport` (that header), "
      "`network` (the IP header), and inside the packet that an ICMP error quotes `quoted-network` "
      "and `quoted-transport`. "
      "The checksums of the quoted packet follow a change, too.\n\n";
  out += kStreams;
  out += kBypass;
  out += kImpairments;
  out += tests_section();
  out += "## Names\n\n";
  out += word_list("Protocols", WordGroup::kProtocol);
  out += word_list("DSCP classes", WordGroup::kDscp);
  out += word_list("ECN", WordGroup::kEcn);
  out += word_list("ICMP types", WordGroup::kIcmpType);
  out.pop_back();
  return out;
}

std::vector<std::string> toml_examples(std::string_view markdown) {
  constexpr std::string_view kOpen = "```toml\n";
  constexpr std::string_view kClose = "\n```";
  std::vector<std::string> out;
  for (size_t at = 0; (at = markdown.find(kOpen, at)) != std::string_view::npos;) {
    at += kOpen.size();
    const size_t end = std::min(markdown.find(kClose, at), markdown.size());
    out.emplace_back(markdown.substr(at, end - at));
    at = end;
  }
  return out;
}

}  // namespace fettle
