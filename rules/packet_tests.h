// The tests that a rule file carries, [[test]]: a packet, and what the rules have to make of it.
// The program runs over it as it does over a capture's packets.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/packet.h"
#include "rules/diagnostic.h"
#include "rules/program.h"
#include "rules/rule.h"

namespace fettle {

struct PacketTest {
  std::string name;  // "test N" (from 1) where the file gives none
  Location where;
  uint32_t width = 1;             // of what stands there, in columns
  std::vector<std::byte> packet;  // from the IP header on
  Metadata metadata;              // what it comes with

  std::vector<std::byte> expected;  // the packet as it leaves; not looked at with Verdict::kDrop
  Verdict verdict = Verdict::kAccept;
  uint16_t queue = 0;  // kQueue
  uint32_t mark = 0;
  std::optional<std::vector<std::string>> rules;  // that match, in their order; none: any
};

struct TestFailure {
  Diagnostic diagnostic;
  std::string details;  // lines: each thing expected and found; packets side by side
};

// Nothing where all is as expected. The program is that of the test's rule file. `colour`: for a
// terminal.
std::optional<TestFailure> run_test(const Program& program, const PacketTest& test, bool colour);

}  // namespace fettle
