// Packets made of arbitrary bytes, with what a queue says beside them, one after another through a
// rule set that has every step and match key (every_word.toml), their TCP streams included. What
// the rules leave unchanged is what came; what they change is no larger than it may be, parses as
// it says itself and keeps the states of its checksums; verdicts and waits are those of the rules;
// and the traced walk does what the packet path does.
//
// Input: a byte of limits for streams, then for each packet 10 bytes (how it is made; hook and
// interfaces; mark (4); time; room behind it; length (2)) and its bytes.
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "core/describe.h"
#include "core/offload.h"
#include "core/raw_capture.h"
#include "core/resize.h"
#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/fuzz/held_streams.h"
#include "tests/fuzz/rule_words.h"
#include "tests/packet_mend.h"

namespace fettle::fuzz {
namespace {

constexpr const char* kRules = FETTLE_SOURCE_DIR "/tests/fuzz/every_word.toml";
// What the rule file says.
constexpr uint32_t kDamageBit = 0x20000;
constexpr uint16_t kOtherQueue = 8;
constexpr uint64_t kLongestWait = 85'000'000;  // delay, jitter, reorder and the rate's latency
constexpr uint64_t kByteTakes = 800;           // on a line of that rate: its own way is no latency

constexpr size_t kMostPackets = 64;

// Bits of how a packet is made.
enum How : uint8_t {
  kMended = 1,  // lengths and checksums are made right
  kNext = 2,    // TCP: the sequence numbers that its connection goes on with
  kRoom = 4,    // it may grow
  kGso = 8,     // as NFQA_SKB_INFO says it
  kNotReady = 16,
  kCut = 32,       // not all of it came
  kRecorded = 64,  // from a capture
  kTraced = 128,
};

Program load() {
  std::ifstream file(kRules);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const Parsed parsed = parse_rules(text, kRules);
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  if (!program) std::fprintf(stderr, "%s", render(diagnostics, parsed.sources).c_str());
  check(program.has_value());
  const std::vector<std::string> missing = missing_words(parsed.set, text);
  for (const std::string& word : missing) {
    std::fprintf(stderr, "%s: no %s, which the vocabulary has\n", kRules, word.c_str());
  }
  check(missing.empty());
  return std::move(*program);
}

const Program& program() {
  static const Program loaded = load();
  return loaded;
}

class Sinks final : public LogSink, public CaptureSink, public TraceSink {
 public:
  void log(uint32_t rule, const Packet& packet, const Metadata&) noexcept override {
    check(rule < program().rule_names().size() && !one_line(packet).empty());
  }
  void capture(uint32_t file, const Packet& packet) noexcept override {
    check(file < program().needs().captures.size());
    const Exact record(raw_capture::record_size(packet));
    raw_capture::put_record(record.data(), 0, packet);
  }
  void rule(uint32_t rule) noexcept override { check(rule < program().rule_names().size()); }
  void step(const Packet& packet, const Metadata&, bool) noexcept override {
    check(packet.data == nullptr || packet.size <= std::max(packet.capacity, packet.length));
  }
};

// Sequence numbers that go on, for both directions of all connections together.
class Sequence {
 public:
  void put_into(const Packet& packet) {
    std::byte* tcp = packet.data + packet.transport;
    const bool direction = std::memcmp(packet.src_bytes(), packet.dst_bytes(), 4) < 0;
    const uint32_t data = packet.transport_end - packet.payload;
    const uint32_t control = (load_u8(tcp + 13) & 3) != 0 ? 1 : 0;  // SYN, FIN
    store_be32(tcp + 4, next_[direction]);
    store_be32(tcp + 8, next_[!direction]);
    next_[direction] += data + control;
  }

 private:
  std::array<uint32_t, 2> next_{0xffffff00, 0x7ffffff0};
};

class Run {
 public:
  explicit Run(Input& in)
      : in_(in),
        rules_(program().rule_names().size()),
        clocks_(program().needs().clocks),
        streams_(program(), limits(in.byte())) {}

  void next_packet() {
    const uint8_t how = in_.byte(), where = in_.byte();
    Metadata metadata = this->metadata(where);
    metadata.mark = in_.word();
    now_ += in_.byte();
    const uint32_t room = in_.byte() * 8u;
    const size_t length = in_.byte() << 8u | in_.byte();
    const auto bytes = in_.take(length);
    const bool grows = (how & kRoom) != 0;
    Segment segment{.buffer = Exact(bytes.size() + (grows ? room : 0))};
    if (!bytes.empty()) std::memcpy(segment.buffer.data(), bytes.data(), bytes.size());
    segment.packet = make(segment.buffer.span().first(bytes.size()), how, metadata.hook);
    metadata.family = segment.packet.family;
    if (grows) {
      segment.packet.capacity =
          static_cast<uint32_t>(std::min(segment.buffer.size(), kLongestPacket));
    }
    apply(std::move(segment), metadata, how);
  }

  void finish() {
    streams_.finish(now_);
    check(counters_.packets ==
          counters_.accepted + counters_.dropped + counters_.repeated + counters_.requeued);
  }

 private:
  static StreamLimits limits(uint8_t choice) {
    constexpr std::array<uint32_t, 4> kPacket{65531, 1500, 576, 80};
    StreamLimits out;
    out.packet = kPacket[choice & 3];
    out.pieces = (choice & 4) != 0 ? StreamOutput::kMaxPieces : 1;
    out.part_wait = (choice & 8) != 0 ? 40 : StreamLimits::kNever;
    out.trust_acknowledgements = (choice & 16) != 0;
    out.verify = (choice & 32) != 0;
    out.recorded = (choice & 64) != 0;
    if ((choice & 128) != 0) out.tail_wait = out.tail_wait_more = 0;
    return out;
  }

  Metadata metadata(uint8_t where) {
    constexpr std::array<const char*, 4> kNames{"", "lan0", "wan0", "ppp0"};
    constexpr std::array<Hook, 8> kHooks{Hook::kPrerouting, Hook::kInput,       Hook::kForward,
                                         Hook::kOutput,     Hook::kPostrouting, Hook::kNone,
                                         Hook::kForward,    Hook::kPrerouting};
    return {.in = interface_name(kNames[where >> 3 & 3]),
            .out = interface_name(kNames[where >> 5 & 3]),
            .hook = kHooks[where & 7],
            .draw = draw_++};
  }

  // The packet as a queue or a capture hands it on.
  Packet make(std::span<std::byte> bytes, uint8_t how, Hook hook) {
    if ((how & kMended) != 0) testing::mend_lengths(bytes);
    Packet packet = parse(bytes);
    const bool tcp = packet.has_transport() && packet.is(Protocol::kTcp);
    if ((how & kNext) != 0 && tcp) sequence_.put_into(packet);
    if ((how & kMended) != 0) testing::mend_checksums(packet, (how & (kNotReady | kGso)) != 0);
    if ((how & kRecorded) != 0) return packet;
    const uint32_t info =
        ((how & kGso) != 0 ? kSkbGso : 0) | ((how & kNotReady) != 0 ? kSkbCsumNotReady : 0);
    packet.plan = checksum_plan(packet, hook, info, (how & kCut) == 0 && !packet.truncated());
    return packet;
  }

  ProgramState state() {
    return {.counters = &counters_,
            .rules = rules_,
            .log = &sinks_,
            .impairments = {.now = now_ * 1'000'000ull, .random = draw_, .clocks = clocks_},
            .captures = &sinks_};
  }

  void apply(Segment segment, Metadata metadata, uint8_t how) {
    Packet& packet = segment.packet;
    const Metadata came = metadata;
    const std::vector<std::byte> before(packet.data, packet.data + segment.buffer.size());
    if (!packet.malformed()) segment.judged = Judged(packet);
    if ((came.mark & kDamageBit) != 0) segment.judged.damage();
    const Packet parsed = packet;
    if ((how & kTraced) != 0) {
      trace(segment, metadata);
    } else {
      ProgramState mine = state();
      segment.outcome = program().apply(packet, metadata, mine);
    }
    const Outcome& outcome = segment.outcome;
    check_outcome(packet, outcome, metadata, came.mark);
    check_bytes(packet, parsed, before, segment.buffer.size());
    if (outcome.stream) return take_stream(std::move(segment), (how & kGso) != 0);
    if (!outcome.changed || outcome.verdict == Verdict::kDrop) return;
    segment.judged.check_edited(packet);
  }

  // The traced walk, over a copy, next to the other.
  void trace(Segment& segment, Metadata& metadata) {
    const Packet& packet = segment.packet;
    const Exact copy(segment.buffer.size());
    std::ranges::copy(segment.buffer.span(), copy.data());
    Packet twin = packet;
    twin.data = copy.data();
    Metadata twins = metadata;
    std::vector<RuleCounters> rules(rules_.size());
    ProgramCounters counters;
    std::vector<std::atomic<uint64_t>> clocks(clocks_.size());
    for (size_t i = 0; i < clocks.size(); ++i) clocks[i] = clocks_[i].load();
    ProgramState other = state();
    other.counters = &counters;
    other.rules = rules;
    other.impairments.clocks = clocks;
    const Outcome traced = program().trace(twin, twins, other, sinks_);
    ProgramState mine = state();
    segment.outcome = program().apply(segment.packet, metadata, mine);
    const Outcome& plain = segment.outcome;
    check(traced.verdict == plain.verdict && traced.queue == plain.queue &&
          traced.changed == plain.changed && traced.stream == plain.stream &&
          traced.stream_rules == plain.stream_rules && traced.delay == plain.delay);
    check(twins.mark == metadata.mark && twin.size == packet.size);
    check(std::memcmp(copy.data(), segment.buffer.data(), packet.size) == 0);
  }

  static void check_outcome(const Packet& packet, const Outcome& outcome, const Metadata& metadata,
                            uint32_t mark) {
    check(outcome.verdict <= Verdict::kQueue);
    if (outcome.verdict == Verdict::kQueue) check(outcome.queue == kOtherQueue);
    check(outcome.delay <= kLongestWait + packet.length * kByteTakes);
    check(outcome.mark_changed == (metadata.mark != mark));
    check(outcome.changed == packet.changed);
    if (packet.malformed()) check(outcome.verdict == Verdict::kDrop && !outcome.changed);
  }

  static void check_bytes(const Packet& packet, const Packet& parsed,
                          const std::vector<std::byte>& before, size_t room) {
    check(packet.size <= std::max(packet.capacity, parsed.size) && packet.size <= room);
    if (!packet.resized) {
      check(packet.size == parsed.size && packet.length == parsed.length);
      check(std::equal(before.begin() + packet.size, before.end(), packet.data + packet.size));
    }
    if (!packet.changed) check(std::ranges::equal(before, std::span(packet.data, room)));
    if (packet.plan == ChecksumPlan::kImmutable) check(!packet.changed);
  }

  void take_stream(Segment segment, bool gso) {
    const Outcome& outcome = segment.outcome;
    check(segment.packet.is(Protocol::kTcp) && outcome.verdict != Verdict::kDrop);
    count_verdict(counters_, outcome.verdict);
    streams_.take(std::move(segment), now_, gso);
  }

  Input& in_;
  Sinks sinks_;
  ProgramCounters counters_;
  std::vector<RuleCounters> rules_;
  std::vector<std::atomic<uint64_t>> clocks_;
  HeldStreams streams_;
  Sequence sequence_;
  uint32_t now_ = 1000, draw_ = 1;
};

}  // namespace
}  // namespace fettle::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle::fuzz;
  Input in(data, size);
  Run run(in);
  for (size_t i = 0; i < kMostPackets && !in.empty(); ++i) run.next_packet();
  run.finish();
  return 0;
}
