#include "rules/stream_trial.h"

#include "core/resize.h"

namespace fettle {
namespace {

constexpr StreamTable::Size kSize{
    .connections = 1 << 12, .edits = 1 << 12, .chunks = 1 << 13, .handshakes = 1 << 12};

}  // namespace

StreamTrial::StreamTrial()
    : memory_((StreamTable::bytes(kSize) + sizeof(Line) - 1) / sizeof(Line)),
      area_(kLongestPacket + stream::kMaxTail) {
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(memory_));
  StreamTable::format(memory, kSize, SipKey{});
  table_.attach(memory);
  output_.area = area_;
  output_.limits = {.packet = 65535,
                    .gso_size = 0,
                    .tail_wait = 0,
                    .tail_wait_more = 0,
                    .trust_acknowledgements = true,
                    .recorded = true};
  output_.skip_hole = true;
}

std::vector<std::byte> StreamTrial::edit(const Program& program, Packet& packet,
                                         const Outcome& outcome, uint32_t now) {
  StreamAction action = program.edit_stream(table_, packet, outcome, now, output_);
  // The second time, the wait is over.
  if (action == StreamAction::kHold) {
    action = program.edit_stream(table_, packet, outcome, now, output_);
  }
  std::vector<std::byte> left;
  switch (action) {
    case StreamAction::kPass:
    case StreamAction::kUntracked:
      left.assign(packet.data, packet.data + packet.size);
      break;
    case StreamAction::kReplace:
      left.assign(output_.pieces[0].begin(), output_.pieces[0].end());
      break;
    case StreamAction::kHold:
    case StreamAction::kDrop:
    case StreamAction::kCannot:
      break;
  }
  return left;
}

}  // namespace fettle
