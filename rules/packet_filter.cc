#include "rules/packet_filter.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <mutex>
#include <string_view>

#include <fmt/format.h>
#include <pcap/pcap.h>

// Not without pcap.h before it.
#include <pcap/namedb.h>

namespace fettle {
namespace {

static_assert(sizeof(bpf_insn) == kInstructionWords * sizeof(uint32_t));
static_assert(alignof(bpf_insn) <= alignof(uint32_t));

constexpr int kLongestPacket = 65535;

// What pcap-filter has beside addresses, numbers and names of ports and protocols.
constexpr std::string_view kWords[] = {
    "ah",       "and",       "carp",       "dst",      "esp",       "geneve",    "greater",
    "host",     "icmp",      "icmp6",      "igmp",     "igrp",      "ip",        "ip6",
    "len",      "length",    "less",       "mask",     "net",       "not",       "or",
    "pim",      "port",      "portrange",  "proto",    "sctp",      "src",       "tcp",
    "udp",      "vrrp",      "protochain", "tcpflags", "broadcast", "multicast", "icmptype",
    "icmpcode", "icmp6type", "icmp6code"};
constexpr std::string_view kNumbers[] = {"tcp-", "icmp-", "icmp6-"};  // beginnings of named ones
constexpr std::string_view kLinkWords[] = {
    "aarp", "arp",  "atalk",  "clnp",   "csnp",  "decnet", "ether", "es-is", "esis",
    "fddi", "iih",  "ipx",    "is-is",  "isis",  "iso",    "l1",    "l2",    "lane",
    "lat",  "link", "llc",    "lsp",    "metac", "mopdl",  "moprc", "mpls",  "netbeui",
    "oam",  "ppp",  "pppoed", "pppoes", "psnp",  "radio",  "rarp",  "sca",   "slip",
    "snp",  "stp",  "tr",     "vlan",   "vpi",   "vci",    "wlan"};
constexpr std::string_view kCaptureWords[] = {
    "action",  "byte", "dir",        "direction", "gateway", "ifindex", "ifname",
    "inbound", "on",   "outbound",   "reason",    "rnr",     "rset",    "ruleset",
    "rulenum", "srnr", "subrulenum", "subtype",   "type"};

template <size_t N>
bool is_one_of(std::string_view word, const std::string_view (&words)[N]) {
  return std::ranges::find(words, word) != std::end(words);
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_word(char c) { return is_letter(c) || is_digit(c) || c == ':' || c == '\\'; }
bool is_in_word(char c) { return begins_word(c) || c == '-' || c == '_' || c == '.'; }

// Addresses and numbers are libpcap's to judge; they ask nobody.
bool is_literal(std::string_view word) {
  return is_digit(word[0]) || word.find(':') != std::string_view::npos;
}

bool names_port_or_protocol(const std::string& word) {
  int number = 0;
  int protocol = 0;
  const size_t dash = word.find('-');
  const auto is_port = [&](const std::string& name) {
    return !name.empty() && (std::ranges::all_of(name, is_digit) ||
                             pcap_nametoport(name.c_str(), &number, &protocol) != 0);
  };
  if (pcap_nametoproto(word.c_str()) != PROTO_UNDEF || is_port(word)) return true;
  // A range of ports.
  return dash != std::string::npos && is_port(word.substr(0, dash)) &&
         is_port(word.substr(dash + 1));
}

// What is wrong with a word that libpcap would take, or "".
std::string refusal(std::string_view word) {
  const bool escaped = word.starts_with('\\');
  if (escaped) word.remove_prefix(1);
  if (word.empty() || is_literal(word)) return "";
  if (!escaped) {
    if (is_one_of(word, kWords)) return "";
    if (is_one_of(word, kLinkWords)) {
      return fmt::format(
          "\"{}\", which is of the link layer; expected what stands from the IP header on", word);
    }
    if (is_one_of(word, kCaptureWords)) {
      return fmt::format(
          "\"{}\", which asks what no packet says; expected the keys `in`, `out` or "
          "`hook` beside the filter",
          word);
    }
    for (const std::string_view beginning : kNumbers) {
      if (word.starts_with(beginning)) return "";
    }
  }
  if (names_port_or_protocol(std::string(word))) return "";
  return fmt::format(
      "\"{}\", which names no port and no protocol; expected an address where a host "
      "is meant, since names are not looked up",
      word);
}

// Of the first word that has one.
std::string refusal_of_words(std::string_view text) {
  while (!text.empty()) {
    const auto* const begin = std::ranges::find_if(text, begins_word);
    text.remove_prefix(static_cast<size_t>(begin - text.begin()));
    const auto* const end = std::ranges::find_if_not(text, is_in_word);
    const auto size = static_cast<size_t>(end - text.begin());
    if (size == 0) break;
    std::string why = refusal(text.substr(0, size));
    if (!why.empty()) return why;
    text.remove_prefix(size);
  }
  return "";
}

struct Close {
  void operator()(pcap_t* handle) const noexcept { pcap_close(handle); }
};

}  // namespace

std::optional<FilterProgram> compile_filter(const std::string& expression, std::string* why) {
  // pcap_compile(3) is not safe in several threads before 1.8, nor are all lookups of names that it
  // makes.
  // varies.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  const std::string wrong = refusal_of_words(expression);
  if (!wrong.empty()) {
    *why = fmt::format("found {}", wrong);
    return std::nullopt;
  }
  const std::unique_ptr<pcap_t, Close> handle(pcap_open_dead(DLT_RAW, kLongestPacket));
  bpf_program compiled{};
  if (!handle ||
      pcap_compile(handle.get(), &compiled, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    *why = fmt::format("found '{}', which libpcap refuses: {}", expression,
                       handle ? pcap_geterr(handle.get()) : "no memory is left");
    return std::nullopt;
  }
  FilterProgram out;
  for (u_int i = 0; i < compiled.bf_len; ++i) {
    out.push_back(std::bit_cast<uint64_t>(compiled.bf_insns[i]));
  }
  pcap_freecode(&compiled);
  return out;
}

std::optional<uint32_t> filter_depth(const FilterProgram& program) {
  // X comes from a constant or from IPv4's header length, 60 bytes at most; else nothing is known.
  constexpr uint32_t kLongestHeader = 60;
  constexpr uint32_t kFar = 1 << 20;
  uint32_t most = kLongestHeader;
  for (const uint64_t word : program) {
    const auto at = std::bit_cast<bpf_insn>(word);
    if (at.code == (BPF_MISC | BPF_TAX)) return std::nullopt;
    if (BPF_CLASS(at.code) != BPF_LDX || BPF_MODE(at.code) == BPF_MSH) continue;
    if (BPF_MODE(at.code) != BPF_IMM || at.k > kFar) return std::nullopt;
    most = std::max(most, at.k);
  }
  uint32_t depth = 1;
  for (const uint64_t word : program) {
    const auto at = std::bit_cast<bpf_insn>(word);
    const bool load = BPF_CLASS(at.code) == BPF_LD || BPF_CLASS(at.code) == BPF_LDX;
    const bool absolute = BPF_MODE(at.code) == BPF_ABS || BPF_MODE(at.code) == BPF_MSH;
    const bool indirect = BPF_MODE(at.code) == BPF_IND;
    if (!load || (!absolute && !indirect)) continue;
    if (at.k > kFar) return std::nullopt;
    depth = std::max(depth, at.k + 4 + (indirect ? most : 0));
  }
  return depth;
}

bool asks_segments_alike(const std::string& expression) {
  constexpr std::string_view kOfOneSegment[] = {"len", "length", "less", "greater", "geneve"};
  if (expression.find('[') != std::string::npos) return false;
  std::string_view text = expression;
  while (!text.empty()) {
    const auto* const begin = std::ranges::find_if(text, begins_word);
    text.remove_prefix(static_cast<size_t>(begin - text.begin()));
    const auto* const end = std::ranges::find_if_not(text, is_in_word);
    const auto size = static_cast<size_t>(end - text.begin());
    if (is_one_of(text.substr(0, size), kOfOneSegment)) return false;
    text.remove_prefix(size);
  }
  return true;
}

bool passes_filter(const uint32_t* words, const Packet& packet) noexcept {
  return bpf_filter(reinterpret_cast<const bpf_insn*>(words),
                    reinterpret_cast<const u_char*>(packet.data), packet.length, packet.size) != 0;
}

}  // namespace fettle
