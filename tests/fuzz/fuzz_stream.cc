// Arbitrary segments through a stream table: nothing outside of packet and area is touched, no
// piece is larger than allowed, the pools hold what they held, and a packet of a table that has
// made no edit leaves as it came.
//
// Input: runs of 16 bytes a segment: flags, direction, seq (2), ack (2), length (2), two of
// options, limit, time, what the editor does (3), and one spare.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "core/bytes.h"
#include "core/stream.h"
#include "tests/fuzz/input.h"

namespace {

using namespace fettle;
using fuzz::check;

using Step = std::array<uint8_t, 16>;

class StepEditor final : public StreamEditor {
 public:
  explicit StepEditor(const Step& step) : step_(step) {}
  Found edit(const StreamText& text, std::span<StreamEdit> edits) override {
    static constexpr std::array<std::byte, 256> kFill{};
    check(text.bytes.size() == 0 || text.bytes.data() != nullptr);
    Found found;
    for (uint32_t i = 0; i < (step_[12] & 7u) && i < edits.size(); ++i) {
      const uint32_t length = step_[13] & 15u;
      edits[found.edits++] = {i * (step_[12] >> 3u), length,
                              std::span(kFill).first(step_[14] & 0xfeu)};
    }
    found.withhold = (step_[13] >> 4u) * (step_[15] == 6 ? 40u : 1u);
    check(text.frame == stream::kNone || text.frame <= 0x7fffffff);
    if (step_[15] == 7) found.frame = step_[12] * 16u;
    return found;
  }

 private:
  const Step& step_;
};

std::vector<std::byte> packet_of(const Step& step) {
  const uint32_t options = step[8] % 3 == 0 ? 12 : 0;
  const uint32_t size = (step[6] << 8 | step[7]) % 400;
  std::vector<std::byte> out(40 + options + size);
  std::byte* b = out.data();
  store_be16(b, 0x4500);
  store_be16(b + 2, static_cast<uint16_t>(out.size()));
  store_be16(b + 8, 0x4006);
  store_be32(b + 12, 0x0a000001 + (step[1] & 1));
  store_be32(b + 16, 0x0a000002 - (step[1] & 1));
  std::byte* t = b + 20;
  store_be16(t + ((step[1] & 1) != 0 ? 2 : 0), static_cast<uint16_t>(1000 + (step[1] >> 6)));
  store_be16(t + ((step[1] & 1) != 0 ? 0 : 2), 21);
  const bool wild = (step[1] & 2) != 0;
  const uint32_t seq = step[2] << 8 | step[3], ack = step[4] << 8 | step[5];
  store_be32(t + 4, wild ? seq << 16 : 0xffffff00 + seq);
  store_be32(t + 8, wild ? ack << 16 : 0xffffff00 + ack);
  store_u8(t + 12, static_cast<uint8_t>((20 + options) / 4 << 4));
  store_u8(t + 13, step[0]);
  store_be16(t + 18, static_cast<uint16_t>(step[9] * 7));
  if (options > 0) {
    store_be32(t + 20, 0x0101050a);
    store_be32(t + 24, 0xffffff00 + ack + step[9]);
    store_be32(t + 28, 0xffffff00 + ack + step[9] + step[8]);
  }
  return out;
}

void run(StreamTable& table, std::span<std::byte> memory, const Step& step, uint32_t* now) {
  std::vector<std::byte> bytes = packet_of(step);
  const std::vector<std::byte> before = bytes;
  Packet packet = parse(bytes);
  StepEditor editor(step);
  const std::unique_ptr<std::byte[]> area(new std::byte[4096]);
  StreamOutput output;
  output.area = {area.get(), 4096};
  output.limits.packet = 41 + step[10] * 6u;
  output.limits.gso_size = step[15] == 1 ? 100 : 0;
  output.limits.verify = step[15] == 3;
  output.limits.pieces = step[15] == 4 ? 1 : StreamOutput::kMaxPieces;
  output.limits.part_wait = step[15] == 5 ? 20 : StreamLimits::kNever;
  output.give_up = step[15] == 2;
  *now += step[11];
  const bool edited = table.counters().edits > 0;
  const StreamAction action = table.process(packet, *now, editor, output);
  if (action != StreamAction::kPass) check(bytes == before);
  if (!edited && table.counters().edits == 0 && action == StreamAction::kPass) {
    // But the sequence number of an acknowledgement from beyond what was seen.
    store_be32(&bytes[24], load_be32(&before[24]));
    std::memcpy(&bytes[36], &before[36], 2);
    check(bytes == before);
  }
  check((action == StreamAction::kReplace) == (output.piece_count > 0));
  for (uint32_t i = 0; i < output.piece_count; ++i) {
    check(output.pieces[i].size() <= output.limits.packet);
    const Packet piece = parse(output.pieces[i]);
    check(piece.has_transport() && piece.length == output.pieces[i].size());
  }
  const uint32_t edits = table.free_edits(), chunks = table.free_chunks();
  check(table.attach(memory));
  check(table.free_edits() == edits && table.free_chunks() == chunks);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const StreamTable::Size small{.connections = 8, .edits = 24, .chunks = 40, .handshakes = 2};
  const size_t room = StreamTable::bytes(small);
  alignas(64) static std::array<std::byte, 16384> kept;
  check(room <= kept.size());
  const auto memory = std::span(kept).first(room);
  StreamTable::format(memory, small, {5, 6});
  StreamTable table;
  check(table.attach(memory));
  uint32_t now = 0;
  for (; size >= sizeof(Step); data += sizeof(Step), size -= sizeof(Step)) {
    Step step;
    std::memcpy(step.data(), data, sizeof step);
    run(table, memory, step, &now);
  }
  return 0;
}
