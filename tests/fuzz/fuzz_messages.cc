// Arbitrary bytes as a TCP stream, cut anywhere, through rules that edit messages whole: nothing
// outside of packet and area is touched, no piece is larger than allowed, and a stream without an
// address of the table leaves as it came.
//
// Input: one byte that picks the rules, then runs of a byte that says how long the next segment
// is and how it comes, and that many bytes.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/checksum.h"
#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/fuzz/input.h"

namespace {

using namespace fettle;
using fuzz::check;

constexpr const char* kSteps[] = {
    R"([{ translate = "t", at = "anywhere", as = "text" }, { content-length = true }])",
    R"([{ sip = "t" }])", R"([{ sdp = "t" }])", R"([{ dns = "t" }])",
    R"([{ replace = '[0-9]+', with = '<$0>' }, { content-length = true }])"};

Program program_of(const char* steps) {
  const Parsed parsed = parse_rules(
      std::string("[table.t]\n'10.9.1.2' = '198.51.100.1'\n[[rule]]\nmatch = {}\nsteps = ") + steps,
      "f.toml");
  std::vector<Diagnostic> diagnostics;
  auto program = compile(parsed.set, &diagnostics);
  check(program.has_value());
  return std::move(*program);
}

class Connection {
 public:
  explicit Connection(const Program& program) : program_(program), rules_(1) {
    const StreamTable::Size size{.connections = 8, .edits = 64, .chunks = 400, .handshakes = 2};
    memory_.resize(StreamTable::bytes(size) / sizeof(Line) + 1);
    const auto bytes = std::as_writable_bytes(std::span(memory_));
    StreamTable::format(bytes, size, {5, 6});
    check(table_.attach(bytes));
  }

  void send(std::span<const uint8_t> data, uint8_t how) {
    std::vector<std::byte> bytes = segment(data, how);
    const std::vector<std::byte> before = bytes;
    Packet packet = parse(bytes);
    packet.plan = ChecksumPlan::kComplete;
    Metadata metadata{.family = packet.family};
    ProgramCounters counters;
    ProgramState state{.counters = &counters, .rules = rules_, .log = nullptr};
    const Outcome outcome = program_.apply(packet, metadata, state);
    check(outcome.stream && bytes == before);
    StreamOutput output;
    const std::unique_ptr<std::byte[]> area(new std::byte[kArea]);
    output.area = {area.get(), kArea};
    output.limits.packet = 1500;
    now_ += (how & 3u) * 20;
    const StreamAction action = program_.edit_stream(table_, packet, outcome, now_, output);
    if (action == StreamAction::kHold) return;
    for (uint32_t i = 0; i < output.piece_count; ++i) check(output.pieces[i].size() <= 1500);
    check((action == StreamAction::kReplace) == (output.piece_count > 0));
    if (table_.counters().edits == 0) check(bytes == before);
    // One that is held is not sent again: what follows it has a hole before it.
  }

 private:
  static constexpr size_t kArea = 65536 + stream::kMaxTail;
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  std::vector<std::byte> segment(std::span<const uint8_t> data, uint8_t how) {
    std::vector<std::byte> out(40 + data.size());
    std::byte* b = out.data();
    store_be16(b, 0x4500);
    store_be16(b + 2, static_cast<uint16_t>(out.size()));
    store_be16(b + 8, 0x4006);
    store_be32(b + 12, 0x0a000001);
    store_be32(b + 16, 0x0a000002);
    store_be16(b + 20, 5060);
    store_be16(b + 22, 5060);
    store_be32(b + 24, sequence_);
    store_be32(b + 28, 1);
    store_be16(b + 32, static_cast<uint16_t>((how & 4) != 0 ? 0x5018 : 0x5010));
    if (!data.empty()) std::memcpy(b + 40, data.data(), data.size());
    sequence_ += static_cast<uint32_t>(data.size());
    return out;
  }

  const Program& program_;
  std::vector<RuleCounters> rules_;
  std::vector<Line> memory_;
  StreamTable table_;
  uint32_t sequence_ = 0xffffff00, now_ = 1000;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Program> programs = [] {
    std::vector<Program> out;
    for (const char* steps : kSteps) out.push_back(program_of(steps));
    return out;
  }();
  if (size == 0) return 0;
  Connection connection(programs[data[0] % programs.size()]);
  std::span<const uint8_t> rest(data + 1, size - 1);
  while (!rest.empty()) {
    const uint8_t how = rest[0];
    const size_t length = std::min<size_t>((how >> 3u) * 8u, rest.size() - 1);
    if (length > 0) connection.send(rest.subspan(1, length), how);
    rest = rest.subspan(1 + length);
  }
  return 0;
}
