// A rule set as plain data: what the parser makes of a file and the compiler takes. No pointers, no
// behaviour; every part knows where it stands so that later refusals can point at it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/address.h"
#include "core/packet.h"

namespace fettle {

// 1-based; file is an index into RuleSet::files. line 0: nowhere (made by a program, not a file).
struct Location {
  uint32_t file = 0;
  uint32_t line = 0;
  uint32_t column = 0;
};

// ---- Match ------------------------------------------------------------------------------------

// Operands: what one alternative of a key is. Ranges are inclusive.
struct Range {
  uint32_t low = 0;
  uint32_t high = 0;
};
struct MaskedValue {  // (field & mask) == value
  uint32_t value = 0;
  uint32_t mask = 0;
};
struct InterfacePattern {  // "eth0", or "eth+" / "eth*" for all that begin with eth
  InterfaceName name{};
  InterfaceName mask{};  // 0xff where name counts
};
enum class FragmentKind : uint8_t { kAny, kNone, kFirst, kLater };
// ICMP types by family: a name like "echo-request" is 8 in ICMP and 128 in ICMPv6. Range over
// types; code range 0..255 where none was given.
struct IcmpMatch {
  std::optional<Range> icmp;  // types of ICMP, nothing: does not match ICMP
  std::optional<Range> icmpv6;
  Range code{0, 255};
};
struct BytesMatch {  // masked compare at a place
  Origin from = Origin::kPayload;
  uint32_t at = 0;
  std::vector<std::byte> value;  // already masked
  std::vector<std::byte> mask;   // same size
};
struct PatternMatch {  // a regular expression that occurs in the payload
  std::string pattern;
  bool ignore_case = false;
  bool only_sifts = false;  // a scan may find too much: PCRE2 has the last word (replace)
  Location where;
};
struct FilterMatch {  // a pcap-filter expression; packet_filter.h
  std::string expression;
  std::vector<uint64_t> program;
};
struct ChanceMatch {     // a share of the packets, at random
  double percent = 100;  // 0 < percent
  uint64_t salt = 0;     // makes the choice another one for each key
};
using Operand = std::variant<Range, MaskedValue, Prefix, InterfacePattern, FragmentKind, IcmpMatch,
                             BytesMatch, Family, PatternMatch, FilterMatch, ChanceMatch>;

// Match keys in the order of the vocabulary. Operand types by key:
//   family: Family. protocol, src-port, dst-port, port, hook, ttl, dscp, length: Range.
//   src, dst: Prefix. in, out: InterfacePattern. mark, tcp-flags: MaskedValue.
//   fragment: FragmentKind. icmp-type: IcmpMatch. bytes: BytesMatch.
//   payload: PatternMatch. filter: FilterMatch. probability: ChanceMatch.
enum class Key : uint8_t {
#define FETTLE_KEY(id, ...) id,
#include "rules/vocabulary.def"
};

struct Condition {  // holds where any of the operands does
  Key key{};
  std::vector<Operand> any_of;
  Location where;
};

// Holds where all conditions do and none of `none_of` holds as a whole. none_of is one level deep.
struct Match {
  std::vector<Condition> all_of;
  std::vector<Match> none_of;
};

// ---- Steps ------------------------------------------------------------------------------------

enum class Verdict : uint8_t { kAccept, kDrop, kRepeat, kQueue };

struct VerdictStep {
  Verdict verdict = Verdict::kAccept;
  uint16_t queue = 0;  // kQueue
};
enum class Field : uint8_t {
  kTtl,
  kDscp,
  kEcn,
  kSrc,
  kDst,
  kSrcPort,
  kDstPort,
  kWindow,
  kFlowLabel
};
struct SetStep {
  struct Assignment {
    Field field{};
    uint32_t number = 0;
    Address address;  // kSrc, kDst
    Location where;
  };
  std::vector<Assignment> assignments;  // in the order of the file
};
// How an address stands in a payload: in network order, as inet_ntop(3) writes it, or as FTP does
// ("10,9,1,2").
enum class AddressForm : uint8_t { kBinary, kText, kComma };
struct TranslateStep {
  std::string table;
  Origin from = Origin::kPayload;
  uint32_t at = 0;
  bool anywhere = false;  // all addresses in the payload, not the one at `at`
  AddressForm form = AddressForm::kBinary;
  bool reverse = false;
  Location table_where;
};
struct WriteStep {
  Origin from = Origin::kPayload;
  uint32_t at = 0;
  std::vector<std::byte> bytes;
};
struct InsertStep {  // into the payload
  uint32_t at = 0;
  std::vector<std::byte> bytes;
};
struct DeleteStep {  // out of the payload
  uint32_t at = 0;
  uint32_t count = 0;
};
struct ReplaceStep {  // each match of the pattern in the payload
  PatternMatch pattern;
  std::string with;
  Location with_where;
};
struct MarkStep {  // mark = (mark & ~mask) | value
  uint32_t value = 0;
  uint32_t mask = 0xffffffff;
};
struct ClampMssStep {
  uint16_t mss = 0;
};
struct StripStep {
  enum class What : uint8_t { kTcpTimestamps, kIpOptions, kTrailing };
  What what{};
  uint32_t count = 0;  // kTrailing: bytes off the payload's end
};
struct LengthFieldStep {  // in the payload
  uint32_t at = 0;
  uint8_t size = 0;  // 1, 2 or 4 bytes
  uint8_t unit = 1;  // bytes that it counts as one
  bool little_endian = false;
};
struct ContentLengthStep {};
struct DnsStep {
  std::string table;
  bool reverse = false;
  Location table_where;
};
struct SipStep {  // the steps sip and sdp
  std::string table;
  bool reverse = false;
  bool sdp_only = false;  // the session description alone
  Location table_where;
};
struct LogStep {};
struct DelayStep {
  uint64_t delay = 0;   // nanoseconds
  uint64_t jitter = 0;  // so much more or less, <= delay
};
struct LoseStep {
  double percent = 0;  // 0 < percent <= 100
};
struct ReorderStep {
  double percent = 0;
  uint64_t by = 0;  // nanoseconds
};
struct RateStep {
  uint64_t rate = 0;     // bits a second
  uint64_t latency = 0;  // nanoseconds
};
struct CorruptStep {
  double percent = 0;
};
struct BypassStep {  // sets Defaults::bypass_mark
  Location where;
};
struct CaptureStep {
  std::string file;  // as named to open(2)
};

struct Step {
  std::variant<VerdictStep, SetStep, TranslateStep, WriteStep, MarkStep, ClampMssStep, LogStep,
               InsertStep, DeleteStep, ReplaceStep, DelayStep, LoseStep, ReorderStep, RateStep,
               CorruptStep, CaptureStep, BypassStep, StripStep, LengthFieldStep, ContentLengthStep,
               DnsStep, SipStep>
      what;
  Location where;
};

// ---- The set ----------------------------------------------------------------------------------

struct Rule {
  std::string name;  // unique in the set; "rule N" (from 1) where the file gives none
  Match match;
  std::vector<Step> steps;
  std::optional<Verdict> on_miss;  // accept or drop; nothing: go on with the next step
  bool must_change = false;        // its packets never pass with a step undone
  Location where;
};

struct TableEntry {
  Prefix inside;   // the left side
  Prefix outside;  // the same family and length
  Location where;
};
struct Table {
  std::string name;
  std::vector<TableEntry> entries;
  Location where;
};

struct Defaults {
  Verdict verdict = Verdict::kAccept;    // kAccept or kDrop
  Verdict malformed = Verdict::kAccept;  // kAccept or kDrop
  // Of packets that no program sees: the queue, or its socket's buffer, is full. Nothing: who runs
  // the rules decides.
  std::optional<Verdict> overload = std::nullopt;
  // That the firewall takes for "queue no more of this flow"; bits of the value are set.
  std::optional<MaskedValue> bypass_mark = std::nullopt;
};

struct RuleSet {
  Defaults defaults;
  std::vector<Table> tables;
  std::vector<Rule> rules;
  std::vector<std::string> files;  // the rule file, then table files as named to open(2)
};

}  // namespace fettle
