// Steps that take out what a header need not have.
#include "core/strip.h"

#include <algorithm>

#include "core/resize.h"
#include "rules/steps.h"

namespace fettle {
namespace {

// Where the kernel has looked through the options and will still write into what it found.
bool is_noted(Hook hook) { return hook == Hook::kForward || hook == Hook::kInput; }

Edit strip_trailing(Packet& packet, uint32_t count) {
  const uint32_t end = std::min(packet.size, packet.transport_end);
  if (count > end) return Edit::kMiss;
  return replace(packet, end - count, count, {}) == Resize::kDone ? Edit::kDone : Edit::kMiss;
}

}  // namespace

Edit strip(const CompiledStep& step, Packet& packet, Hook hook) noexcept {
  switch (static_cast<StripStep::What>(step.number)) {
    case StripStep::What::kTcpTimestamps:
      return strip_tcp_timestamps(packet);
    case StripStep::What::kIpOptions:
      if (is_noted(hook) && has_option_to_fill_in(packet)) return Edit::kMiss;
      return strip_ipv4_options(packet);
    case StripStep::What::kTrailing:
      return strip_trailing(packet, step.count);
  }
  return Edit::kMiss;
}

}  // namespace fettle
