#include "workers/packet_log.h"

#include <algorithm>
#include <string_view>

#include <spdlog/spdlog.h>

#include "core/describe.h"

namespace fettle {

std::string metadata_words(const Metadata& metadata) {
  std::string out;
  if (metadata.hook != Hook::kNone) out += fmt::format(" hook {}", to_string(metadata.hook));
  if (metadata.in[0]) out += fmt::format(" in {}", metadata.in.data());
  if (metadata.out[0]) out += fmt::format(" out {}", metadata.out.data());
  if (metadata.mark) out += fmt::format(" mark {:#x}", metadata.mark);
  return out;
}

void PacketLog::log(uint32_t rule, const Packet& packet, const Metadata& metadata) noexcept {
  if (pending_ == kPending) {
    limit_.leave_out(1);
    return;
  }
  Entry& entry = entries_[pending_++];
  entry.rule = rule;
  entry.size = std::min<uint32_t>(packet.size, kBytes);
  entry.metadata = metadata;
  std::copy_n(packet.data, entry.size, entry.bytes.begin());
}

void PacketLog::write_pending() {
  if (const uint64_t left_out = limit_.renew(std::chrono::steady_clock::now())) {
    spdlog::info("queue {}: {} more packets were to be logged", queue_, left_out);
  }
  for (size_t i = 0; i < pending_; ++i) {
    if (!limit_.take()) continue;
    Entry& entry = entries_[i];
    const Packet packet = parse({entry.bytes.data(), entry.size});
    spdlog::info("queue {}: rule \"{}\":{} {}", queue_, rule_names_[entry.rule],
                 metadata_words(entry.metadata), one_line(packet));
  }
  pending_ = 0;
}

}  // namespace fettle
