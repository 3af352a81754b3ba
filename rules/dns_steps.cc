// The step `dns`.
#include <algorithm>
#include <array>

#include "core/resize.h"
#include "rules/dns_message.h"
#include "rules/steps.h"

namespace fettle {

Edit translate_dns_message(const CompiledStep& step, const StepData& data,
                           Packet& packet) noexcept {
  using Outcome = DnsTranslation::Outcome;
  uint32_t offset = 0;
  if (!packet.is(Protocol::kUdp) || packet.fragment || packet.truncated()) return Edit::kMiss;
  if (!resolve(packet, Origin::kPayload, 0, &offset)) return Edit::kMiss;
  const uint32_t size = std::min(packet.size, packet.transport_end) - offset;
  std::array<std::byte, kLongestDnsMessage> out;
  const DnsTranslation done =
      translate_dns({packet.data + offset, size}, data.tables[step.first], out);
  if (done.outcome != Outcome::kChanged) {
    return done.outcome == Outcome::kUnchanged ? Edit::kDone : Edit::kMiss;
  }
  return replace(packet, offset, size, {out.data(), done.size}) == Resize::kDone ? Edit::kDone
                                                                                 : Edit::kMiss;
}

}  // namespace fettle
