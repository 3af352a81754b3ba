// The reader and the writer, over files built byte by byte here, so that the formats' documents are
// the witness.
#include "core/capture.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/bytes.h"

namespace fettle {
namespace {

// Numbers in a file's byte order.
class FileBuilder {
 public:
  explicit FileBuilder(bool big) : big_(big) {}
  FileBuilder& u16(uint16_t value) { return put(value); }
  FileBuilder& u32(uint32_t value) { return put(value); }
  FileBuilder& text(const std::string& text) {
    bytes_ += text;
    return *this;
  }
  FileBuilder& pad4() {
    while (bytes_.size() % 4) bytes_ += '\0';
    return *this;
  }
  FileBuilder& pcap_header(uint32_t magic, uint32_t link_type) {
    return u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65535).u32(link_type);
  }
  FileBuilder& pcap_record(uint32_t seconds, uint32_t fraction, const std::string& frame,
                           uint32_t original) {
    return u32(seconds)
        .u32(fraction)
        .u32(static_cast<uint32_t>(frame.size()))
        .u32(original)
        .text(frame);
  }
  FileBuilder& block(uint32_t type, const std::function<void(FileBuilder&)>& fill) {
    FileBuilder body(big_);
    fill(body);
    body.pad4();
    const auto length = static_cast<uint32_t>(body.bytes_.size() + 12);
    return u32(type).u32(length).text(body.bytes_).u32(length);
  }
  FileBuilder& section() {
    return block(0x0a0d0d0a,
                 [](FileBuilder& b) { b.u32(0x1a2b3c4d).u16(1).u16(0).u32(~0u).u32(~0u); });
  }
  FileBuilder& interface(uint16_t link_type, const std::string& options = "") {
    return block(1, [&](FileBuilder& b) { b.u16(link_type).u16(0).u32(0).text(options); });
  }
  FileBuilder& packet(uint32_t interface, uint64_t units, const std::string& frame,
                      uint32_t original) {
    return block(6, [&](FileBuilder& b) {
      b.u32(interface).u32(static_cast<uint32_t>(units >> 32)).u32(static_cast<uint32_t>(units));
      b.u32(static_cast<uint32_t>(frame.size())).u32(original).text(frame);
    });
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <typename T>
  FileBuilder& put(T value) {
    const bool swap = big_ != (std::endian::native == std::endian::big);
    if (swap) value = std::byteswap(value);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  bool big_;
  std::string bytes_;
};

class CaptureTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/fettle-capture-XXXXXX";
    folder_ = mkdtemp(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Result<CaptureReader> open(const std::string& bytes) {
    std::ofstream(path("in"), std::ios::binary) << bytes;
    return CaptureReader::open(path("in"));
  }
  // "time link_type captured/original frame" of each packet; the error last. Everything handed out
  // is `copied_`.
  std::vector<std::string> read(const std::string& bytes) {
    copied_.clear();
    auto reader = open(bytes);
    if (!reader) return {reader.error().message};
    std::vector<std::string> out;
    CapturePiece piece;
    while (reader->read(&piece) && !piece.records.empty()) {
      for (const Record& record : piece.records) {
        copy(record.raw);
        if (record.frame.data() == nullptr) continue;
        out.push_back(fmt::format(
            "{} {} {}/{} {}", record.time_ns, record.link_type, record.frame.size(),
            record.original,
            std::string(reinterpret_cast<const char*>(record.frame.data()), record.frame.size())));
      }
      EXPECT_EQ(piece.end, copied_.size());
    }
    if (reader->damage()) out.push_back(reader->damage()->message);
    return out;
  }
  void copy(std::span<const std::byte> bytes) {
    copied_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::filesystem::path folder_;
  std::string copied_;
};

TEST_F(CaptureTest, ReadsPcapInBothByteOrdersAndBothResolutions) {
  for (const bool big : {false, true}) {
    for (const auto& [magic, unit] : {std::pair{0xa1b2c3d4u, 1000u}, std::pair{0xa1b23c4du, 1u}}) {
      const std::string file = FileBuilder(big)
                                   .pcap_header(magic, 1)
                                   .pcap_record(7, 5, "abc", 3)
                                   .pcap_record(8, 0, "de", 900)
                                   .bytes();
      EXPECT_EQ(read(file),
                (std::vector<std::string>{fmt::format("{} 1 3/3 abc", 7'000'000'000 + 5 * unit),
                                          "8000000000 1 2/900 de"}));
      EXPECT_EQ(copied_, file);
    }
  }
}

TEST_F(CaptureTest, TheLinkTypesUpperBitsAreNoPartOfIt) {
  const std::string file =
      FileBuilder(false).pcap_header(0xa1b2c3d4, 0x54000071).pcap_record(0, 0, "x", 1).bytes();
  EXPECT_EQ(read(file), (std::vector<std::string>{"0 113 1/1 x"}));
}

TEST_F(CaptureTest, APcapWithoutPacketsIsRight) {
  const std::string file = FileBuilder(false).pcap_header(0xa1b2c3d4, 1).bytes();
  EXPECT_TRUE(read(file).empty());
  EXPECT_EQ(copied_, file);
}

TEST_F(CaptureTest, ReadsPcapngWithItsInterfacesAndSections) {
  for (const bool big : {false, true}) {
    const std::string nanoseconds =
        FileBuilder(big).u16(9).u16(1).text(std::string("\x09\0\0\0", 4)).bytes();
    const std::string two_to_ten =
        FileBuilder(big).u16(9).u16(1).text(std::string("\x8a\0\0\0", 4)).bytes();
    const std::string file = FileBuilder(big)
                                 .section()
                                 .interface(1)
                                 .interface(101, nanoseconds)
                                 .interface(113, two_to_ten)
                                 .packet(0, 5'000'001, "eth", 3)
                                 .block(5, [](FileBuilder& b) { b.text("statistics..."); })
                                 .packet(1, (uint64_t{1} << 32) + 5, "raw", 70)
                                 .packet(2, 1536, "sll", 3)
                                 .section()
                                 .interface(12)
                                 .packet(0, 0, "new", 3)
                                 .bytes();
    EXPECT_EQ(read(file),
              (std::vector<std::string>{"5000001000 1 3/3 eth", "4294967301 101 3/70 raw",
                                        "1500000000 113 3/3 sll", "0 12 3/3 new"}));
    EXPECT_EQ(copied_, file);
  }
}

TEST_F(CaptureTest, TimesCountInTheUnitsOfTheirInterface) {
  struct Resolution {
    char byte;
    uint64_t units, time_ns;
  };
  constexpr uint64_t kSecond = 1'000'000'000;
  const Resolution cases[] = {
      {0, 7, 7 * kSecond},
      {3, 7'001, 7'001'000'000},
      {'\x13', 15'000'000'000'000'000'000u, 1'500'000'000},  // 10^19: the most that 64 bits hold
      {'\x14', 7'000'000, 7 * kSecond},                      // 10^20: microseconds, as without it
      {'\x80', 7, 7 * kSecond},
      {'\xbf', (1ull << 63) + (1ull << 62), 1'500'000'000},  // 2^63
      {'\xc0', 7'000'000, 7 * kSecond},                      // 2^64
  };
  for (const Resolution& c : cases) {
    const std::string option =
        FileBuilder(false).u16(9).u16(1).text(std::string(1, c.byte)).pad4().bytes();
    const std::string file =
        FileBuilder(false).section().interface(1, option).packet(0, c.units, "x", 1).bytes();
    EXPECT_EQ(read(file), (std::vector<std::string>{fmt::format("{} 1 1/1 x", c.time_ns)}))
        << "if_tsresol " << static_cast<unsigned>(static_cast<uint8_t>(c.byte));
  }
  const std::string offset =
      FileBuilder(false).u16(14).u16(8).text(std::string("\x05\0\0\0\0\0\0\0", 8)).bytes();
  EXPECT_EQ(read(FileBuilder(false).section().interface(1, offset).packet(0, 1, "x", 1).bytes()),
            (std::vector<std::string>{"5000001000 1 1/1 x"}));
}

TEST_F(CaptureTest, APieceStaysAsItIsWhenTheNextIsRead) {
  FileBuilder file(false);
  file.pcap_header(0xa1b2c3d4, 1);
  for (uint32_t i = 0; i < 2'000; ++i) {
    file.pcap_record(i, 0, std::string(i % 1500, static_cast<char>(i)), 1500);
  }
  auto reader = open(file.bytes());
  ASSERT_TRUE(reader);
  std::vector<CapturePiece> pieces;
  do {
    ASSERT_TRUE(reader->read(&pieces.emplace_back()));
  } while (!pieces.back().records.empty());
  EXPECT_GT(pieces.size(), 5u);
  for (const CapturePiece& piece : pieces) {
    for (const Record& record : piece.records) copy(record.raw);
  }
  EXPECT_EQ(copied_, file.bytes());
}

TEST_F(CaptureTest, WhatAPipeHasBroughtWaitsForNoMore) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const auto send = [&](const std::string& bytes) {
    ASSERT_EQ(write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  };
  const std::string header = FileBuilder(false).pcap_header(0xa1b2c3d4, 1).bytes();
  const std::string packet = FileBuilder(false).pcap_record(1, 2, "abc", 3).bytes();
  send(header);
  auto reader = CaptureReader::open(fmt::format("/proc/self/fd/{}", ends[0]));
  ASSERT_TRUE(reader);
  CapturePiece piece;
  ASSERT_TRUE(reader->read(&piece));
  EXPECT_EQ(piece.end, header.size());
  send(packet + packet + packet.substr(0, 7));
  ASSERT_TRUE(reader->read(&piece));
  EXPECT_EQ(piece.records.size(), 2u);

  // The third packet is not whole, and the wait for the rest of it can be ended.
  int end[2];
  ASSERT_EQ(pipe(end), 0);
  reader->end_on(end[0]);
  ASSERT_EQ(write(end[1], "x", 1), 1);
  ASSERT_TRUE(reader->read(&piece));
  EXPECT_EQ(piece.end, header.size() + 2 * packet.size() + 7);
  ASSERT_TRUE(reader->read(&piece));
  EXPECT_TRUE(piece.records.empty());
  for (const int fd : {ends[0], ends[1], end[0], end[1]}) close(fd);
}

TEST_F(CaptureTest, PiecesOfAnySizeAreWrittenInOrder) {
  auto writer = CaptureWriter::open(path("out"));
  ASSERT_TRUE(writer);
  std::string expected;
  for (const size_t size : {0u, 1u, 65535u, 65536u, 3u, 1u << 20, 7u, 65537u, (1u << 20) - 1, 2u}) {
    const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
    ASSERT_TRUE(writer->append(std::as_bytes(std::span(piece))));
    expected += piece;
  }
  ASSERT_TRUE(writer->flush());
  std::ifstream flushed(path("out"), std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(flushed), {}) == expected);
  EXPECT_TRUE(writer->close());
}

TEST_F(CaptureTest, ReadsSimpleAndObsoletePacketBlocks) {
  const std::string file =
      FileBuilder(false)
          .section()
          .interface(1)
          .block(3, [](FileBuilder& b) { b.u32(5).text("short"); })
          .block(2,
                 [](FileBuilder& b) {
                   b.u16(0).u16(9).u32(0).u32(1'000'000).u32(3).u32(4).text("old");
                 })
          .bytes();
  EXPECT_EQ(read(file), (std::vector<std::string>{"0 1 5/5 short", "1000000000 1 3/4 old"}));
}

TEST_F(CaptureTest, AChangedFrameIsWrittenInItsPlace) {
  auto reader =
      open(FileBuilder(false).pcap_header(0xa1b2c3d4, 1).pcap_record(1, 2, "abc", 3).bytes());
  ASSERT_TRUE(reader);
  auto writer = CaptureWriter::open(path("out"));
  ASSERT_TRUE(writer);
  CapturePiece piece;
  while (reader->read(&piece) && !piece.records.empty()) {
    for (const Record& record : piece.records) {
      if (!record.frame.empty()) record.frame[1] = std::byte{'X'};
      ASSERT_TRUE(writer->append(record.raw));
    }
  }
  ASSERT_TRUE(writer->close());
  EXPECT_EQ(read(FileBuilder(false).pcap_header(0xa1b2c3d4, 1).pcap_record(1, 2, "aXc", 3).bytes()),
            (std::vector<std::string>{"1000002000 1 3/3 aXc"}));
  std::ifstream written(path("out"), std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(written), {}), copied_);
}

TEST_F(CaptureTest, RecordsLargerThanTheBufferAreRead) {
  const std::string frame(9 << 20, 'f');
  const std::string file = FileBuilder(false)
                               .pcap_header(0xa1b2c3d4, 1)
                               .pcap_record(0, 0, "before", 6)
                               .pcap_record(0, 0, frame, 9 << 20)
                               .pcap_record(0, 0, "after", 5)
                               .bytes();
  EXPECT_EQ(read(file).size(), 3u);
  EXPECT_EQ(copied_, file);
}

struct Damaged {
  const char* name;
  std::string bytes;
  std::string message;
};

TEST_F(CaptureTest, SaysWhatIsNoCapture) {
  for (const auto& [bytes, found] :
       {std::pair<std::string, std::string>{"", "begins with nothing"},
        {"ab", "begins with 61 62"},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "begins with 47 45 54 20"},
        {FileBuilder(false).u32(0xa1b2c3d4).bytes(), "begins with d4 c3 b2 a1"}}) {
    const auto reader = open(bytes);
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code, ErrorCode::kData);
    EXPECT_NE(reader.error().message.find(found), std::string::npos) << reader.error().message;
  }
  const auto missing = CaptureReader::open(path("missing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNoInput);
}

TEST_F(CaptureTest, DamageIsNamedWithItsPlaceAndNothingIsLost) {
  const std::string good =
      FileBuilder(false).pcap_header(0xa1b2c3d4, 1).pcap_record(0, 0, "abc", 3).bytes();
  const std::string section = FileBuilder(false).section().interface(1).bytes();
  const Damaged cases[] = {
      {"header cut", good + "0123456",
       "damaged at byte 43: found 7 bytes, expected a record's header of 16"},
      {"record cut", good + FileBuilder(false).u32(0).u32(0).u32(9).u32(9).text("half").bytes(),
       "damaged at byte 43: found 20 bytes of a record's 25; the file was cut"},
      {"endless record",
       good + FileBuilder(false).u32(0).u32(0).u32(~0u).u32(9).text("tail").bytes(),
       "found a record of 4294967295 bytes"},
      {"block length", section + FileBuilder(false).u32(6).u32(13).text("123456789").bytes(),
       "found a block of 13 bytes, expected a multiple of 4"},
      {"block lengths differ",
       section + FileBuilder(false).u32(5).u32(16).u32(0).u32(20).text("more and more").bytes(),
       "found block lengths 16 and 20, expected the same twice"},
      {"interface unknown", section + FileBuilder(false).packet(3, 0, "abc", 3).bytes(),
       "whose interface was not described before"},
      {"packet too long",
       section + FileBuilder(false)
                     .block(6, [](FileBuilder& b) { b.u32(0).u32(0).u32(0).u32(99).u32(99); })
                     .bytes(),
       "whose parts do not fit"},
      {"byte order",
       FileBuilder(false)
           .block(0x0a0d0d0a, [](FileBuilder& b) { b.u32(0x11223344).u32(0).u32(0).u32(0); })
           .bytes(),
       "found byte order mark 11223344"},
  };
  for (const Damaged& damaged : cases) {
    const auto said = read(damaged.bytes);
    ASSERT_FALSE(said.empty()) << damaged.name;
    EXPECT_NE(said.back().find(damaged.message), std::string::npos)
        << damaged.name << ": " << said.back();
    EXPECT_EQ(copied_, damaged.bytes) << damaged.name;
  }
}

TEST_F(CaptureTest, AFileThatCannotBeMadeIsNamed) {
  const auto writer = CaptureWriter::open(path("no/such/folder"));
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kCannotCreate);
  auto full = CaptureWriter::open("/dev/full");
  ASSERT_TRUE(full);
  ASSERT_TRUE(full->append(std::as_bytes(std::span("abc", 3))));
  const auto closed = full->close();
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().message, "cannot write /dev/full: No space left on device");
}

}  // namespace
}  // namespace fettle
