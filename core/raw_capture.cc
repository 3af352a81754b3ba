#include "core/raw_capture.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/capture_format.h"

namespace fettle::raw_capture {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint32_t kLongest = 262144;  // libpcap's largest snapshot length

static_assert(kHeader == capture_format::kPcapHeader);
static_assert(kRecord == capture_format::kPcapRecord);

}  // namespace

std::array<std::byte, kHeader> header() {
  std::array<std::byte, kHeader> out{};
  store<uint32_t>(out.data(), capture_format::kPcapNanoseconds);
  store<uint16_t>(out.data() + 4, 2);  // version 2.4
  store<uint16_t>(out.data() + 6, 4);
  store<uint32_t>(out.data() + 16, kLongest);
  store<uint32_t>(out.data() + 20, kLinkType);
  return out;
}

bool is_header(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeader) return false;
  const uint32_t link_type = load<uint32_t>(bytes.data() + 20);
  return load<uint32_t>(bytes.data()) == capture_format::kPcapNanoseconds &&
         load<uint16_t>(bytes.data() + 4) == 2 && link_type == kLinkType;
}

void put_record(std::byte* out, uint64_t time, const Packet& packet) noexcept {
  store(out, static_cast<uint32_t>(time / kSecond));
  store(out + 4, static_cast<uint32_t>(time % kSecond));
  store(out + 8, packet.size);
  store(out + 12, std::max(packet.length, packet.size));
  std::copy_n(packet.data, packet.size, out + kRecord);
}

}  // namespace fettle::raw_capture
