// Steps that mend lengths inside payloads.
#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "core/bytes.h"
#include "core/resize.h"
#include "rules/steps.h"
#include "rules/text_message.h"

namespace fettle {
namespace {

// Fields of up to four bytes as numbers.
uint64_t load_field(const std::byte* at, uint32_t size, bool little) {
  uint64_t out = 0;
  for (uint32_t i = 0; i < size; ++i) out = out << 8 | load_u8(at + (little ? size - 1 - i : i));
  return out;
}

void store_field(std::byte* at, uint32_t size, bool little, uint64_t value) {
  for (uint32_t i = 0; i < size; ++i, value >>= 8) {
    at[little ? i : size - 1 - i] = static_cast<std::byte>(value);
  }
}

}  // namespace

Edit mend_length_field(const CompiledStep& step, Packet& packet, int64_t growth) noexcept {
  const int64_t unit = step.number;
  const bool little = step.mask != 0;
  uint32_t offset = 0;
  if (growth % unit != 0) return Edit::kMiss;
  if (!resolve_all(packet, Origin::kPayload, step.at, step.count, &offset)) return Edit::kMiss;
  const auto field = static_cast<int64_t>(load_field(packet.data + offset, step.count, little));
  const int64_t value = field + growth / unit;
  if (value < 0 || value >> 8 * step.count != 0) return Edit::kMiss;
  std::array<std::byte, 4> bytes;
  store_field(bytes.data(), step.count, little, static_cast<uint64_t>(value));
  return write(packet, offset, {bytes.data(), step.count});
}

Edit mend_content_length(Packet& packet) noexcept {
  uint32_t offset = 0;
  if (packet.is(Protocol::kTcp) || !resolve(packet, Origin::kPayload, 0, &offset)) {
    return Edit::kMiss;
  }
  const uint32_t size = std::min(packet.size, packet.transport_end) - offset;
  const auto found = find_content_length({packet.data + offset, size});
  if (!found || packet.truncated() || packet.fragment) return Edit::kMiss;
  std::array<char, std::numeric_limits<uint32_t>::digits10 + 1> digits;
  const uint32_t body = size - static_cast<uint32_t>(found->body);
  const auto end = std::to_chars(digits.begin(), digits.end(), body).ptr;
  const auto at = offset + static_cast<uint32_t>(found->at);
  const auto written = std::as_bytes(std::span(digits.begin(), end));
  return replace(packet, at, static_cast<uint32_t>(found->size), written) == Resize::kDone
             ? Edit::kDone
             : Edit::kMiss;
}

}  // namespace fettle
