#include "core/strip.h"

#include <algorithm>
#include <array>
#include <span>

#include "core/checksum.h"
#include "core/ip_numbers.h"

namespace fettle {
namespace {

constexpr uint32_t kMostOptions = 40;  // bytes, of either header

constexpr std::array<std::byte, kMostOptions> kNoOperations = [] {
  std::array<std::byte, kMostOptions> out{};
  out.fill(std::byte{1});
  return out;
}();

// Calls visit(type, at, size) for each option of more than one byte in [at, end), until one is
// malformed or ends the list. IPv4 and TCP write them alike.
template <typename Visit>
void for_each_option(const std::byte* data, uint32_t at, uint32_t end, Visit visit) {
  while (at < end) {
    const uint8_t type = load_u8(data + at);
    if (type == 0) return;
    if (type == 1) {
      ++at;
      continue;
    }
    if (end - at < 2) return;
    const uint32_t size = load_u8(data + at + 1);
    if (size < 2 || size > end - at) return;
    visit(type, at, size);
    at += size;
  }
}

bool has_options(const Packet& packet) {
  return !packet.malformed() && packet.family == Family::kIpv4 && packet.header > kIpv4Header;
}

}  // namespace

Edit strip_ipv4_options(Packet& packet) {
  constexpr uint32_t kDestination = 16;
  if (!has_options(packet) || !can_edit(packet)) return Edit::kMiss;
  if (packet.final_destination != kDestination) {
    // Once both are the same, it makes no difference to any checksum which of them counts.
    const auto own = load<std::array<std::byte, 4>>(packet.data + kDestination);
    if (write(packet, packet.final_destination, own) == Edit::kMiss) return Edit::kMiss;
    packet.final_destination = kDestination;
  }
  const std::span<std::byte> options(packet.data + kIpv4Header, packet.header - kIpv4Header);
  const auto filling = std::span(kNoOperations).first(options.size());
  if (std::ranges::equal(options, filling)) return Edit::kDone;
  std::byte* const field = packet.data + 10;
  store(field, update(load<uint16_t>(field), options, filling, false));
  std::ranges::copy(filling, options.begin());
  packet.changed = true;
  return Edit::kDone;
}

bool has_option_to_fill_in(const Packet& packet) {
  constexpr uint8_t kRecordRoute = 7;
  constexpr uint8_t kTimestamp = 68;
  if (!has_options(packet)) return false;
  bool found = false;
  for_each_option(packet.data, kIpv4Header, packet.header, [&](uint8_t type, uint32_t, uint32_t) {
    found |= type == kRecordRoute || type == kTimestamp || type == kLooseSourceRoute ||
             type == kStrictSourceRoute;
  });
  return found;
}

Edit strip_tcp_timestamps(Packet& packet) {
  constexpr uint8_t kTimestamps = 8;
  constexpr uint32_t kTcpHeader = 20;
  if (!packet.has_transport() || !packet.is(Protocol::kTcp)) return Edit::kMiss;
  Edit out = Edit::kMiss;
  for_each_option(packet.data, packet.transport + kTcpHeader, packet.payload,
                  [&](uint8_t kind, uint32_t at, uint32_t size) {
                    if (kind != kTimestamps) return;
                    out = write(packet, at, std::span(kNoOperations).first(size));
                  });
  return out;
}

}  // namespace fettle
