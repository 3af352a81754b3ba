// A TCP connection on its way through a rule file and a stream table, packet by packet.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/mangle.h"
#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/stream_wire.h"

namespace fettle::testing {

class Stream {
 public:
  explicit Stream(const std::string& text) {
    const Parsed parsed = parse_rules(text, "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    program_ = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
    EXPECT_TRUE(program_) << render(diagnostics, parsed.sources);
    rules_.resize(program_->rule_names().size());
    const StreamTable::Size size{.connections = 64, .edits = 256, .chunks = 1024, .handshakes = 64};
    memory_.resize(StreamTable::bytes(size) / sizeof(Line) + 1);
    const std::span<std::byte> memory = std::as_writable_bytes(std::span(memory_));
    StreamTable::format(memory, size, {});
    EXPECT_TRUE(table_.attach(memory));
    area_.resize(70000);
  }

  // What leaves: the segment as a receiver reads it.
  StreamAction send(uint32_t direction, const Wire& wire, uint32_t now = 0) {
    return offer(build(wire, false, 1, direction), now);
  }
  StreamAction offer(Bytes bytes, uint32_t now = 0) {
    bytes_ = std::move(bytes);
    packet_ = parse(bytes_);
    packet_.plan = ChecksumPlan::kComplete;
    Metadata metadata{.family = packet_.family};
    ProgramCounters counters;
    ProgramState state{.counters = &counters, .rules = rules_, .log = nullptr};
    outcome = program_->apply(packet_, metadata, state);
    EXPECT_TRUE(outcome.stream);
    output.area = area_;
    output.limits.packet = 1500;
    const StreamAction action = program_->edit_stream(table_, packet_, outcome, now, output);
    left.clear();
    if (action == StreamAction::kReplace) {
      for (uint32_t i = 0; i < output.piece_count; ++i) read(output.pieces[i]);
    } else if (action == StreamAction::kPass || action == StreamAction::kUntracked) {
      read({packet_.data, packet_.size});
    }
    return action;
  }

  struct Left {
    uint32_t seq, ack;
    uint8_t ttl;
    std::string data;
  };
  std::vector<Left> left;
  Outcome outcome;
  StreamOutput output;
  const StreamTable& table() const { return table_; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  void read(std::span<std::byte> bytes) {
    const Packet packet = parse(bytes);
    ASSERT_TRUE(packet.has_transport());
    EXPECT_EQ(folded(tcp_sum(bytes, false)), 0xffff) << "a wrong checksum";
    const std::byte* tcp = packet.data + packet.transport;
    const auto* data = reinterpret_cast<const char*>(packet.data + packet.payload);
    left.push_back({load_be32(tcp + 4), load_be32(tcp + 8), packet.ttl(),
                    std::string(data, packet.size - packet.payload)});
  }

  std::optional<Program> program_;
  std::vector<RuleCounters> rules_;
  std::vector<Line> memory_;
  StreamTable table_;
  Bytes area_, bytes_;
  Packet packet_;
};

}  // namespace fettle::testing
