#include "core/capture_resize.h"

#include <bit>
#include <numeric>

#include <gtest/gtest.h>

#include "core/bytes.h"

namespace fettle {
namespace {

using Bytes = std::vector<std::byte>;

void put_text(Bytes& out, std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  out.insert(out.end(), bytes.begin(), bytes.end());
}
void put_u32(Bytes& out, uint32_t value, bool swapped) {
  out.resize(out.size() + 4);
  store(out.data() + out.size() - 4, swapped ? std::byteswap(value) : value);
}

// As the drafts draw them, a frame that was 2 bytes longer on the wire.
Bytes pcap_record(std::string_view frame, bool swapped) {
  Bytes out;
  for (const uint32_t value : {1u, 2u, uint32_t(frame.size()), uint32_t(frame.size() + 2)}) {
    put_u32(out, value, swapped);
  }
  put_text(out, frame);
  return out;
}
Bytes enhanced_block(std::string_view frame, bool swapped) {
  constexpr std::string_view kOptions = "options.";
  const auto size = static_cast<uint32_t>(frame.size());
  const uint32_t total = 32 + (size + 3) / 4 * 4 + 8;
  Bytes out;
  for (const uint32_t value : {6u, total, 0u, 3u, 4u, size, size + 2}) {
    put_u32(out, value, swapped);
  }
  put_text(out, frame);
  while (out.size() % 4 != 0) out.push_back({});
  put_text(out, kOptions);
  put_u32(out, total, swapped);
  return out;
}

Record record_of(Bytes& raw, size_t head, size_t frame, Record::Kind kind, bool swapped) {
  Record out;
  out.raw = raw;
  out.frame = std::span(raw).subspan(head, frame);
  out.original = static_cast<uint32_t>(frame + 2);
  out.link_type = 101;
  out.kind = kind;
  out.swapped = swapped;
  return out;
}

TEST(Resized, IsTheRecordThatWouldHaveBeenWritten) {
  for (const bool swapped : {false, true}) {
    for (const std::string_view packet : {"", "1", "12", "1234", "12345", "123456789"}) {
      const std::string after = "head" + std::string(packet) + "tail";
      Bytes pcap = pcap_record("headABCtail", swapped);
      Bytes block = enhanced_block("headABCtail", swapped);
      const auto bytes = std::as_bytes(std::span(packet));
      EXPECT_EQ(resized(record_of(pcap, 16, 11, Record::Kind::kPcap, swapped), 4, 3, bytes),
                pcap_record(after, swapped));
      EXPECT_EQ(resized(record_of(block, 28, 11, Record::Kind::kBlock, swapped), 4, 3, bytes),
                enhanced_block(after, swapped));
    }
  }
}

TEST(Resized, SimplePacketBlocksStateNoLengthToChange) {
  Record record;
  EXPECT_TRUE(can_resize(record));
  record.kind = Record::Kind::kSimpleBlock;
  EXPECT_FALSE(can_resize(record));
}

}  // namespace
}  // namespace fettle
