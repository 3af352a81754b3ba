#include "core/capture_framing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/capture_format.h"

namespace fettle {

namespace format = capture_format;

namespace {

// if_tsresol: the highest bit chooses powers of 2, else of 10. `otherwise`: more than 64 bits hold.
uint64_t units_per_second(uint8_t resolution, uint64_t otherwise) {
  const unsigned exponent = resolution & 0x7f;
  const bool power_of_two = resolution & 0x80;
  if (exponent > (power_of_two ? 63u : 19u)) return otherwise;
  uint64_t units = 1;
  for (unsigned i = 0; i < exponent; ++i) units *= power_of_two ? 2 : 10;
  return units;
}

}  // namespace

uint16_t CaptureFraming::u16(const std::byte* at) const {
  return swapped_ ? std::byteswap(load<uint16_t>(at)) : load<uint16_t>(at);
}
uint32_t CaptureFraming::u32(const std::byte* at) const {
  return swapped_ ? std::byteswap(load<uint32_t>(at)) : load<uint32_t>(at);
}

CaptureFraming::Found CaptureFraming::more(size_t wanted) {
  wanted_ = wanted;
  return Found::kMore;
}

CaptureFraming::Found CaptureFraming::damaged(std::string found_and_expected) {
  damage_ = std::move(found_and_expected);
  return Found::kDamage;
}

bool CaptureFraming::start(std::span<const std::byte> bytes) {
  static_assert(kStart == format::kPcapHeader);
  if (bytes.size() < 4) return false;
  const uint32_t magic = load<uint32_t>(bytes.data());
  if (magic == format::kSectionHeader) {
    kind_ = Kind::kPcapng;
    return true;
  }
  if (bytes.size() < format::kPcapHeader) return false;
  for (const uint32_t known : {format::kPcapMicroseconds, format::kPcapNanoseconds}) {
    if (magic != known && magic != std::byteswap(known)) continue;
    swapped_ = magic != known;
    nanoseconds_ = known == format::kPcapNanoseconds;
    link_type_ = u32(bytes.data() + 20) & format::kPcapLinkTypeMask;
    return true;
  }
  return false;
}

CaptureFraming::Found CaptureFraming::next(std::span<std::byte> bytes, bool last, Record* record) {
  return kind_ == Kind::kPcap ? next_pcap(bytes, last, record) : next_block(bytes, last, record);
}

CaptureFraming::Found CaptureFraming::next_pcap(std::span<std::byte> bytes, bool last,
                                                Record* record) {
  if (!std::exchange(started_, true)) {
    *record = {.raw = bytes.first(format::kPcapHeader)};
    return Found::kRecord;
  }
  if (bytes.size() < format::kPcapRecord) {
    if (!last) return more(format::kPcapRecord);
    return damaged(fmt::format("found {} bytes, expected a record's header of {}", bytes.size(),
                               format::kPcapRecord));
  }
  const std::byte* head = bytes.data();
  const uint32_t captured = u32(head + 8);
  if (captured > format::kLongestRecord) {
    return damaged(fmt::format("found a record of {} bytes, expected at most {}", captured,
                               format::kLongestRecord));
  }
  const size_t length = format::kPcapRecord + captured;
  if (bytes.size() < length) {
    if (!last) return more(length);
    return damaged(
        fmt::format("found {} bytes of a record's {}; the file was cut", bytes.size(), length));
  }
  const uint64_t fraction = u32(head + 4);
  record->time_ns = uint64_t{u32(head)} * 1'000'000'000 + fraction * (nanoseconds_ ? 1 : 1000);
  record->units_per_second = nanoseconds_ ? 1'000'000'000 : 1'000'000;
  record->original = u32(head + 12);
  record->link_type = link_type_;
  record->kind = Record::Kind::kPcap;
  record->swapped = swapped_;
  record->raw = bytes.first(length);
  record->frame = record->raw.subspan(format::kPcapRecord);
  return Found::kRecord;
}

bool CaptureFraming::start_section(const std::byte* block) {
  const uint32_t order = load<uint32_t>(block + 8);
  if (order != format::kByteOrder && order != std::byteswap(format::kByteOrder)) {
    damaged(fmt::format("found byte order mark {:08x}, expected 1a2b3c4d in either order", order));
    return false;
  }
  swapped_ = order != format::kByteOrder;
  interfaces_.clear();
  return true;
}

CaptureFraming::Found CaptureFraming::next_block(std::span<std::byte> bytes, bool last,
                                                 Record* record) {
  if (bytes.size() < format::kBlockOverhead) {
    if (!last) return more(format::kBlockOverhead);
    return damaged(fmt::format("found {} bytes, expected a block of at least {}", bytes.size(),
                               format::kBlockOverhead));
  }
  const std::byte* block = bytes.data();
  if (load<uint32_t>(block) == format::kSectionHeader && !start_section(block)) {
    return Found::kDamage;
  }
  const uint32_t type = u32(block);
  const uint32_t length = u32(block + 4);
  if (length < format::kBlockOverhead || length % 4 != 0 || length > format::kLongestRecord) {
    return damaged(fmt::format("found a block of {} bytes, expected a multiple of 4 from {} to {}",
                               length, format::kBlockOverhead, format::kLongestRecord));
  }
  if (bytes.size() < length) {
    if (!last) return more(length);
    return damaged(
        fmt::format("found {} bytes of a block's {}; the file was cut", bytes.size(), length));
  }
  const uint32_t again = u32(block + length - 4);
  if (again != length) {
    return damaged(
        fmt::format("found block lengths {} and {}, expected the same twice", length, again));
  }
  *record = {.raw = bytes.first(length)};
  const std::span<std::byte> body = bytes.subspan(8, length - format::kBlockOverhead);
  bool right = true;
  if (type == format::kInterfaceBlock) right = read_interface(body);
  if (type == format::kEnhancedPacketBlock || type == format::kSimplePacketBlock ||
      type == format::kPacketBlock) {
    right = read_packet(type, body, record);
  }
  if (right) return Found::kRecord;
  return damaged(
      fmt::format("found a block of type {} and {} bytes whose parts do not fit in it, or whose "
                  "interface was not described before",
                  type, length));
}

bool CaptureFraming::read_interface(std::span<const std::byte> body) {
  if (body.size() < 8) return false;
  Interface out;
  out.link_type = u16(body.data());
  out.snaplen = u32(body.data() + 4);
  body = body.subspan(8);
  while (body.size() >= 4) {
    const uint16_t code = u16(body.data());
    const size_t length = u16(body.data() + 2);
    if (code == 0 || 4 + length > body.size()) break;  // damaged options do no harm to packets
    const std::byte* value = body.data() + 4;
    if (code == format::kOptionTimeResolution && length == 1) {
      out.units_per_second = units_per_second(load_u8(value), out.units_per_second);
    }
    if (code == format::kOptionTimeOffset && length == 8) {
      uint64_t offset = load<uint64_t>(value);
      if (swapped_) offset = std::byteswap(offset);
      out.offset_seconds = static_cast<int64_t>(offset);
    }
    body = body.subspan(std::min(body.size(), 4 + (length + 3) / 4 * 4));
  }
  interfaces_.push_back(out);
  return true;
}

bool CaptureFraming::take_frame(const Interface& interface, std::span<std::byte> bytes,
                                uint32_t captured, uint64_t units, Record* record) const {
  if (captured > bytes.size()) return false;
  const uint64_t per_second = interface.units_per_second;
  const auto seconds = units / per_second + static_cast<uint64_t>(interface.offset_seconds);
  const auto part = static_cast<double>(units % per_second) / static_cast<double>(per_second);
  record->time_ns = seconds * 1'000'000'000 + static_cast<uint64_t>(std::llround(part * 1e9));
  record->units_per_second = per_second;
  record->link_type = interface.link_type;
  record->frame = bytes.first(captured);
  return true;
}

bool CaptureFraming::read_packet(uint32_t type, std::span<std::byte> body, Record* record) const {
  const std::byte* at = body.data();
  record->swapped = swapped_;
  record->kind = Record::Kind::kBlock;
  if (type == format::kSimplePacketBlock) {
    record->kind = Record::Kind::kSimpleBlock;
    if (body.size() < 4 || interfaces_.empty()) return false;
    record->original = u32(at);
    const uint32_t snaplen = interfaces_[0].snaplen == 0 ? UINT32_MAX : interfaces_[0].snaplen;
    return take_frame(interfaces_[0], body.subspan(4), std::min(record->original, snaplen), 0,
                      record);
  }
  constexpr size_t kFixed = 20;
  if (body.size() < kFixed) return false;
  const uint32_t interface = type == format::kPacketBlock ? u16(at) : u32(at);
  if (interface >= interfaces_.size()) return false;
  const uint64_t units = uint64_t{u32(at + 4)} << 32 | u32(at + 8);
  record->original = u32(at + 16);
  return take_frame(interfaces_[interface], body.subspan(kFixed), u32(at + 12), units, record);
}

}  // namespace fettle
