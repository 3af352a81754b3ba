// Steps that make packets longer or shorter.
#include "core/resize.h"
#include "rules/steps.h"

namespace fettle {
namespace {

// `at` counts from the beginning of the payload.
Edit replace_at(Packet& packet, uint32_t at, uint32_t removed, std::span<const std::byte> bytes) {
  const Resize done = replace(packet, packet.payload + at, removed, bytes);
  return done == Resize::kDone ? Edit::kDone : Edit::kMiss;
}

}  // namespace

Edit insert_bytes(const CompiledStep& step, const StepData& data, Packet& packet) noexcept {
  return replace_at(packet, step.at, 0, {data.bytes.data() + step.first, step.count});
}

Edit delete_bytes(const CompiledStep& step, Packet& packet) noexcept {
  return replace_at(packet, step.at, step.count, {});
}

}  // namespace fettle
