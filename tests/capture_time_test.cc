#include "core/capture_time.h"

#include <vector>

#include <gtest/gtest.h>

#include "core/bytes.h"
#include "core/capture_format.h"

namespace fettle {
namespace {

namespace format = capture_format;
using Bytes = std::vector<std::byte>;

class Capture {
 public:
  explicit Capture(bool swapped) : swapped_(swapped) {}
  Capture& u16(uint16_t value) { return put(swapped_ ? std::byteswap(value) : value); }
  Capture& u32(uint32_t value) { return put(swapped_ ? std::byteswap(value) : value); }
  Bytes bytes;

 private:
  template <typename T>
  Capture& put(T value) {
    bytes.resize(bytes.size() + sizeof value);
    store(bytes.data() + bytes.size() - sizeof value, value);
    return *this;
  }
  bool swapped_;
};

// A file with one record of 4 bytes, at `seconds` and `fraction` units.
Bytes pcap(bool swapped, bool nanoseconds, uint32_t seconds, uint32_t fraction) {
  Capture out(swapped);
  out.u32(nanoseconds ? format::kPcapNanoseconds : format::kPcapMicroseconds).u16(2).u16(4);
  out.u32(0).u32(0).u32(65535).u32(101);
  return out.u32(seconds).u32(fraction).u32(4).u32(4).u32(0).bytes;
}
// With the resolution 10^-exponent.
Bytes pcapng(bool swapped, uint8_t exponent, uint64_t units) {
  Capture out(swapped);
  out.u32(format::kSectionHeader).u32(28).u32(format::kByteOrder).u16(1).u16(0);
  out.u32(0xffffffff).u32(0xffffffff).u32(28);
  out.u32(format::kInterfaceBlock).u32(28).u16(101).u16(0).u32(0).u16(9).u16(1);
  out.bytes.push_back(std::byte{exponent});
  out.bytes.resize(out.bytes.size() + 3);
  out.u32(28);
  out.u32(format::kEnhancedPacketBlock).u32(36).u32(0);
  out.u32(static_cast<uint32_t>(units >> 32)).u32(static_cast<uint32_t>(units));
  return out.u32(4).u32(4).u32(0).u32(36).bytes;
}

// The last record, moved; the file with it.
Record moved(Bytes& file, uint64_t nanoseconds) {
  CaptureFraming framing;
  EXPECT_TRUE(framing.start(std::span(file).first(CaptureFraming::kStart)));
  std::span<std::byte> rest(file);
  Record record;
  while (!rest.empty()) {
    if (framing.next(rest, true, &record) != CaptureFraming::Found::kRecord) break;
    rest = rest.subspan(record.raw.size());
  }
  EXPECT_TRUE(rest.empty()) << framing.damage();
  move_time(&record, nanoseconds);
  return record;
}

TEST(MoveTime, PcapCarriesIntoTheSeconds) {
  for (const bool swapped : {false, true}) {
    Bytes micro = pcap(swapped, false, 7, 999'990);
    EXPECT_EQ(moved(micro, 20'999).time_ns, 8'000'010'999u);
    EXPECT_EQ(micro, pcap(swapped, false, 8, 10)) << "rounded down";
    Bytes nano = pcap(swapped, true, 7, 999'999'999);
    moved(nano, 60'000'000'001);
    EXPECT_EQ(nano, pcap(swapped, true, 68, 0));
  }
}

TEST(MoveTime, PcapngCountsInTheUnitsOfItsInterface) {
  for (const bool swapped : {false, true}) {
    Bytes milli = pcapng(swapped, 3, 0xffffffff);
    moved(milli, 2'999'999);
    EXPECT_EQ(milli, pcapng(swapped, 3, 0x100000001));
    Bytes pico = pcapng(swapped, 12, 5);
    moved(pico, 60'000'000'000);
    EXPECT_EQ(pico, pcapng(swapped, 12, 60'000'000'000'005));
  }
}

TEST(MoveTime, NothingElseIsTouched) {
  Bytes file = pcapng(false, 6, 12'345);
  const Bytes before = file;
  const Record record = moved(file, 0);
  EXPECT_EQ(file, before);
  EXPECT_EQ(record.time_ns, 12'345'000u);
}

}  // namespace
}  // namespace fettle
