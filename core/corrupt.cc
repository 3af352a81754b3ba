#include "core/corrupt.h"

namespace fettle {

Edit flip_bit(Packet& packet, uint32_t offset, unsigned bit) noexcept {
  if (packet.malformed() || offset >= packet.size) return Edit::kMiss;
  if (packet.plan == ChecksumPlan::kPseudo || packet.plan == ChecksumPlan::kImmutable) {
    return Edit::kMiss;
  }
  // How later edits enter the checksum is to be told by the bytes as they came.
  judge_checksum(packet);
  packet.changed = true;
  finish(packet);
  std::byte& byte = packet.data[offset];
  byte ^= static_cast<std::byte>(1u << bit);
  return Edit::kDone;
}

}  // namespace fettle
