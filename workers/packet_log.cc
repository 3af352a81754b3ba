#include "workers/packet_log.h"

#include <algorithm>
#include <string_view>

#include <spdlog/spdlog.h>

#include "core/describe.h"

namespace fettle {
namespace {

std::string metadata_words(const Metadata& metadata) {
  std::string out;
  if (metadata.hook != Hook::kNone) out += fmt::format(" hook {}", to_string(metadata.hook));
  if (metadata.in[0]) out += fmt::format(" in {}", metadata.in.data());
  if (metadata.out[0]) out += fmt::format(" out {}", metadata.out.data());
  if (metadata.mark) out += fmt::format(" mark {:#x}", metadata.mark);
  return out;
}

}  // namespace

void PacketLog::log(uint32_t rule, const Packet& packet, const Metadata& metadata) noexcept {
  if (pending_ == kPending) {
    ++skipped_;
    return;
  }
  Entry& entry = entries_[pending_++];
  entry.rule = rule;
  entry.size = std::min<uint32_t>(packet.size, kBytes);
  entry.metadata = metadata;
  std::copy_n(packet.data, entry.size, entry.bytes.begin());
}

void PacketLog::write_pending() {
  const auto now = std::chrono::steady_clock::now();
  if (now - second_ >= std::chrono::seconds(1)) {
    if (skipped_ > 0) spdlog::info("queue {}: {} more packets were to be logged", queue_, skipped_);
    skipped_ = 0;
    lines_ = 0;
    second_ = now;
  }
  for (size_t i = 0; i < pending_; ++i) {
    if (lines_ >= kLinesPerSecond) {
      skipped_ += pending_ - i;
      break;
    }
    ++lines_;
    Entry& entry = entries_[i];
    const Packet packet = parse({entry.bytes.data(), entry.size});
    spdlog::info("queue {}: rule \"{}\":{} {}", queue_, rule_names_[entry.rule],
                 metadata_words(entry.metadata), one_line(packet));
  }
  pending_ = 0;
}

}  // namespace fettle
