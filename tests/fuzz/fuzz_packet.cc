// Arbitrary bytes as a packet, and edits of it: nothing outside of the packet is touched, a miss
// changes nothing, a checksum keeps its state, and what an edit leaves parses to the same layout.
//
// Input: a byte that picks the plan, then 8 bytes an edit (kind, 3 of place, 4 of value) up to a
// zero kind, then the packet.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "core/bytes.h"
#include "core/checksum.h"
#include "core/describe.h"
#include "core/mangle.h"
#include "core/offload.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/judged_packet.h"

namespace {

using namespace fettle;
using fuzz::check;
using fuzz::same_layout;

struct EditBytes {
  uint8_t kind;
  uint8_t place[3];
  uint8_t value[4];
};

Edit apply(Packet& packet, const EditBytes& edit) {
  const uint32_t place = static_cast<uint32_t>(edit.place[0] << 8 | edit.place[1]);
  uint32_t value;
  std::memcpy(&value, edit.value, sizeof value);
  const auto bytes = std::as_bytes(std::span(edit.value)).first(edit.place[2] % 5);
  const auto small = static_cast<uint8_t>(value);
  const auto port = static_cast<uint16_t>(value);
  Address address;
  address.family = edit.place[2] & 1 ? Family::kIpv4 : Family::kIpv6;
  std::memcpy(address.bytes.data(), edit.value, 4);
  switch (edit.kind % 12) {
    case 1:
      return write(packet, place, bytes);
    case 2:
      return write_quoted(packet, place, bytes);
    case 3:
      return set_ttl(packet, small);
    case 4:
      return set_dscp(packet, small & 63);
    case 5:
      return set_ecn(packet, small & 3);
    case 6:
      return set_src(packet, address);
    case 7:
      return set_dst(packet, address);
    case 8:
      return set_src_port(packet, port);
    case 9:
      return set_dst_port(packet, port);
    case 10:
      return set_tcp_window(packet, port);
    default:
      return clamp_mss(packet, port);
  }
}

bool all_covered_is_zero(const Packet& packet) {
  return packet.has_transport() && packet.size >= covered_end(packet) &&
         std::all_of(packet.data + packet.transport, packet.data + covered_end(packet),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

// Good stays good, bad stays bad, absent absent, partial partial. A partial one can turn good, or
// the other way round, only by an edit that makes the two the same. An ICMP message that was all 0
// is bad by the 0 that it has for 0xffff: any words that add up to 0xffff make that 0 good.
void check_states(const Packet& before, const Packet& after, ChecksumState transport,
                  ChecksumState network, bool was_zero) {
  if (before.family == Family::kIpv4) check(ipv4_checksum_state(after) == network);
  const ChecksumState now = transport_checksum_state(after);
  const bool ambiguous = transport == ChecksumState::kPartial || now == ChecksumState::kPartial;
  const bool icmp_of_zeros = was_zero && before.is(Protocol::kIcmp);
  if (icmp_of_zeros && now == ChecksumState::kGood) {
    check(load<uint16_t>(after.data + after.transport + 2) == 0);
  } else if (!ambiguous) {
    check(now == transport);
  }
}

void edit_all(const uint8_t* data, size_t size, const std::vector<EditBytes>& edits, uint8_t plan) {
  const std::unique_ptr<std::byte[]> bytes(new std::byte[size]);
  if (size > 0) std::memcpy(bytes.get(), data, size);
  Packet packet = parse({bytes.get(), size});
  const Packet before = packet;
  one_line(packet);
  decoded_dump(packet);
  Packet quote;
  if (parse_quoted(packet, &quote)) one_line(quote);
  if (packet.malformed()) return;
  const ChecksumState transport = transport_checksum_state(packet);
  const ChecksumState network =
      packet.family == Family::kIpv4 ? ipv4_checksum_state(packet) : ChecksumState::kNone;
  const bool was_zero = all_covered_is_zero(packet);
  const bool live = plan % 2;
  if (live)
    packet.plan = checksum_plan(packet, Hook{static_cast<uint8_t>(plan / 2 % 5)}, plan >> 4, true);
  std::vector<std::byte> copy(bytes.get(), bytes.get() + size);
  for (const EditBytes& edit : edits) {
    const Edit done = apply(packet, edit);
    const bool same = std::memcmp(copy.data(), bytes.get(), size) == 0;
    if (done == Edit::kMiss) check(same);
    if (!same) check(packet.changed && packet.plan != ChecksumPlan::kImmutable);
    copy.assign(bytes.get(), bytes.get() + size);
  }
  check(std::memcmp(bytes.get() + packet.size, data + packet.size, size - packet.size) == 0);
  finish(packet);
  const Packet after = parse({bytes.get(), size});
  check(same_layout(before, after));
  if (!live && packet.changed) check_states(before, after, transport, network, was_zero);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t plan = data[0];
  ++data, --size;
  std::vector<EditBytes> edits;
  while (size >= sizeof(EditBytes) && data[0] != 0 && edits.size() < 8) {
    std::memcpy(&edits.emplace_back(), data, sizeof(EditBytes));
    data += sizeof(EditBytes);
    size -= sizeof(EditBytes);
  }
  if (size > 0 && data[0] == 0) ++data, --size;
  edit_all(data, size, edits, plan);
  return 0;
}
