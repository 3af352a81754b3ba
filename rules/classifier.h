// Which rule a packet matches next. The rules' tests lie in flat arrays, one array for each kind of
// operand, and are walked in the order of the file; within a rule the tests that tell most packets
// apart come first. Allocates nothing after it is built.
#pragma once

#include <cstdint>
#include <vector>

#include "core/packet.h"
#include "rules/rule.h"

namespace fettle {

class Classifier {
 public:
  // Rules are numbered in the order in which they are added.
  void add(const Match& match);

  // The first rule at or after `from` that the packet matches; size() where there is none. A rule
  // that looks at the transport header or the payload matches no later fragment.
  uint32_t next_match(const Packet& packet, const Metadata& metadata, uint32_t from) const noexcept;

  uint32_t size() const noexcept { return static_cast<uint32_t>(rules_.size()); }

 private:
  struct Slice {
    uint32_t first = 0;
    uint32_t count = 0;
  };
  struct Test {
    Key key{};
    Slice operands;  // of the key's own array
  };
  struct PrefixOperand {
    uint64_t value[2];
    uint64_t mask[2];
    Family family;
  };
  struct BytesOperand {
    Origin from;
    uint32_t at;
    Slice value;  // of bytes_; the mask follows it
  };
  struct RuleTests {
    Slice all_of;    // of tests_
    Slice none_of;   // of groups_
    bool transport;  // some test needs a transport header
  };

  Slice add_tests(const Match& match, bool* transport);
  Test add_test(const Condition& condition);
  bool holds(const Test& test, const Packet& packet, const Metadata& metadata) const noexcept;
  bool all_hold(const Slice& tests, const Packet& packet, const Metadata& metadata) const noexcept;
  bool in_ranges(const Slice& operands, uint32_t number) const noexcept;
  bool in_prefixes(const Slice& operands, Family family, const std::byte* at) const noexcept;
  bool is_masked(const Slice& operands, uint32_t number) const noexcept;
  bool is_interface(const Slice& operands, const InterfaceName& name) const noexcept;
  bool is_icmp(const Slice& operands, const Packet& packet) const noexcept;
  bool is_fragment(const Slice& operands, const Packet& packet) const noexcept;
  bool has_bytes(const Slice& operands, const Packet& packet) const noexcept;

  std::vector<RuleTests> rules_;
  std::vector<Test> tests_;
  std::vector<Slice> groups_;
  std::vector<Range> ranges_;
  std::vector<PrefixOperand> prefixes_;
  std::vector<MaskedValue> masked_;
  std::vector<InterfacePattern> interfaces_;
  std::vector<IcmpMatch> icmp_;
  std::vector<FragmentKind> fragments_;
  std::vector<Family> families_;
  std::vector<BytesOperand> bytes_operands_;
  std::vector<std::byte> bytes_;
};

// Whether the key's field lies in the transport header or behind it, so that a later fragment has
// none.
bool reads_transport(const Condition& condition);

}  // namespace fettle
